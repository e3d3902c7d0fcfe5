"""Stable Diffusion 1.x, and the starter model, which has its layout: epsilon, CLIP ViT-L, CLIP skip."""

from transformers import CLIPTextModel

from trainer.engine.device import Device
from trainer.families import clip_diffusion, sources
from trainer.families.clip_diffusion import ClipDiffusion, encode, loss, sample, settle
from trainer.families.sources import TextSource
from trainer.job.settings import Job

__all__ = ["encode", "load", "loss", "sample", "settle"]

_TEXTS = (TextSource("text_encoder", "tokenizer", CLIPTextModel),)


def load(job: Job, device: Device) -> ClipDiffusion:
    """The frozen model; CLIP skip counts layers from the end. Raises Trouble."""
    return clip_diffusion.assemble(sources.load(job.model, _TEXTS, device.dtype), job, device, job.model.clip_skip)
