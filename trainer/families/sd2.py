"""Stable Diffusion 2.x: epsilon (512 px) or v (768 px), OpenCLIP ViT-H whose last layer is cut off in the files."""

from transformers import CLIPTextModel

from trainer.engine.device import Device
from trainer.families import clip_diffusion, sources
from trainer.families.clip_diffusion import ClipDiffusion, encode, loss, sample, settle
from trainer.families.sources import TextSource
from trainer.job.settings import Job

__all__ = ["encode", "load", "loss", "sample", "settle"]

_TEXTS = (TextSource("text_encoder", "tokenizer", CLIPTextModel, "!"),)


def load(job: Job, device: Device) -> ClipDiffusion:
    """The frozen model. Its files' text encoder ends at the layer to be used: no CLIP skip. Raises Trouble."""
    return clip_diffusion.assemble(sources.load(job.model, _TEXTS, device.dtype), job, device, clip_skip=1)
