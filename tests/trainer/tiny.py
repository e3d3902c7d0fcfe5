"""Small random models with the layout of real ones, and small data sets, for tests that train."""

import json
import pathlib
import string
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from trainer.job.fields import parse
from trainer.job.settings import Job

SDXL_UNET = {
    "block_out_channels": (8, 8, 16),
    "layers_per_block": 2,
    "cross_attention_dim": 16 + 24,
    "attention_head_dim": (1, 2, 4),
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 24 + 6 * 8,
    "sample_size": 16,
}
COLOURS = ("red", "green", "blue", "yellow", "black", "white")


def model(folder: pathlib.Path, prediction: str = "epsilon", linear: bool = False) -> pathlib.Path:
    """A diffusers folder with random weights: factor 2 autoencoder, two levels, one text layer pair."""
    torch.manual_seed(0)
    UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        use_linear_projection=linear,
        sample_size=16,
    ).save_pretrained(folder / "unet")
    autoencoder().save_pretrained(folder / "vae")
    vocabulary = tokenizer(folder / "tokenizer")
    CLIPTextModel(text_config(vocabulary, 16)).save_pretrained(folder / "text_encoder")
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        clip_sample=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def sdxl(folder: pathlib.Path, **schedule: Any) -> pathlib.Path:
    """A diffusers folder of Stable Diffusion XL's layout with random weights; its levels and blocks are as many."""
    torch.manual_seed(0)
    UNet2DConditionModel(**SDXL_UNET).save_pretrained(folder / "unet")
    autoencoder().save_pretrained(folder / "vae")
    vocabulary = tokenizer(folder / "tokenizer")
    tokenizer(folder / "tokenizer_2", pad_token="!")
    CLIPTextModel(text_config(vocabulary, 16)).save_pretrained(folder / "text_encoder")
    CLIPTextModelWithProjection(text_config(vocabulary, 24)).save_pretrained(folder / "text_encoder_2")
    return sdxl_without_models(folder, **schedule)


def sdxl_without_models(folder: pathlib.Path, **schedule: Any) -> pathlib.Path:
    """What such a folder holds besides models and tokenizers."""
    EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        **{"timestep_spacing": "leading", "steps_offset": 1, **schedule},
    ).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": True,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def autoencoder() -> AutoencoderKL:
    """One with random weights that halves the size once."""
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=32,
    )


def text_config(vocabulary: int, width: int) -> CLIPTextConfig:
    """That of a text encoder of two layers whose last two tokens begin and end a text."""
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=width,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )


def tokenizer(folder: pathlib.Path, pad_token: str = "<|endoftext|>") -> int:
    """A CLIP tokenizer that spells every word in letters; the number of its tokens."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    CLIPTokenizer(*files, model_max_length=77, pad_token=pad_token).save_pretrained(folder)
    return len(tokens)


def pictures(folder: pathlib.Path, count: int = 6, size_px: tuple[int, int] = (64, 64)) -> pathlib.Path:
    """`folder/2_thing` with pictures of one colour each, captioned with it; returns `folder`."""
    inside = folder / "2_thing"
    inside.mkdir(parents=True)
    for number in range(count):
        colour = COLOURS[number % len(COLOURS)]
        Image.new("RGB", size_px, colour).save(inside / f"{number}.png")
        (inside / f"{number}.txt").write_text(f"a {colour} thing, flat, {number}", encoding="utf-8")
    return folder


def job(folder: pathlib.Path, base: pathlib.Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Job:
    """A job of a few steps on a tiny model, with output and data under `folder`."""
    data_folder = folder / "data"
    if not data_folder.exists():
        pictures(data_folder)
    values: dict[str, dict[str, Any]] = {
        "model": {"base": str(base)},
        "dataset": {"folder": str(data_folder), "resolution": 64},
        "adapter": {"rank": 2, "alpha": 1},
        "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.01, "text_encoder_learning_rate": 0.01},
        "samples": {"steps": 2, "width_px": 32, "height_px": 32},
        "output": {"folder": str(folder / "out"), "name": "tiny"},
    }
    for section, change in (changes or {}).items():
        values[section] = {**values.get(section, {}), **change}
    return parse(values)
