"""Writes the starter model as a folder that every Stable Diffusion 1.5 tool reads."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from trainer.starter.denoiser import new_scheduler
from trainer.starter.words import write_tokenizer
from trainer.starter.world import WORDS

MAX_MIB = 24.0


def export(
    folder: Path, models: tuple[AutoencoderKL, CLIPTextModel, UNet2DConditionModel], tokenizer: CLIPTokenizer
) -> float:
    """Writes the pipeline in half precision, beside and renamed; returns its size in MiB."""
    vae, text, unet = (_half(model) for model in models)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    beside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    pipeline.save_pretrained(beside, safe_serialization=True)
    shutil.rmtree(beside / "tokenizer")
    write_tokenizer(beside / "tokenizer", WORDS)
    for file in filter(Path.is_file, beside.rglob("*")):
        file.chmod(0o644)
        if file.suffix == ".json":
            _forget_origin(file)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return size_mib(folder)


def size_mib(folder: Path) -> float:
    """Returns the size of all files of a folder in MiB."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def _half(model: torch.nn.Module) -> torch.nn.Module:
    """Returns a copy of the model on the CPU in half precision."""
    copy = type(model)(model.config) if isinstance(model, CLIPTextModel) else type(model).from_config(model.config)
    copy.load_state_dict({name: value.detach().cpu().clone() for name, value in model.state_dict().items()})
    return copy.to(torch.float16).eval()


def _forget_origin(file: Path) -> None:
    """Takes the name of the folder that the model came from out of a config."""
    config = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(config, dict) and config.pop("_name_or_path", None) is not None:
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
