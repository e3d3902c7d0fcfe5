"""Stable Diffusion 2.x: epsilon (512 px) or v (768 px), OpenCLIP ViT-H whose last layer is cut off in the files."""

from trainer.engine.device import Device
from trainer.families import clip_diffusion, sources
from trainer.families.clip_diffusion import ClipDiffusion, encode, loss, sample, settle
from trainer.job.settings import Job

__all__ = ["encode", "load", "loss", "sample", "settle"]


def load(job: Job, device: Device) -> ClipDiffusion:
    """The frozen model. Its files' text encoder ends at the layer to be used: no CLIP skip. Raises Trouble."""
    return clip_diffusion.assemble(sources.load(job.model), job, device, clip_skip=1)
