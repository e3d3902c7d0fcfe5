"""The finished model: small, loadable as Stable Diffusion 1.5 is, and saying nothing about where it was made."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from trainer import starter
from trainer.starter.export import MAX_MIB, size_mib

MODEL = Path(starter.__path__[0]) / "model"


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(MODEL, local_files_only=True).to(torch.float32)


def test_the_model_is_within_its_size() -> None:
    assert 5 < size_mib(MODEL) <= MAX_MIB


def test_the_model_has_the_files_that_other_tools_look_for() -> None:
    names = {str(file.relative_to(MODEL)) for file in MODEL.rglob("*") if file.is_file()}
    assert {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
    } <= names


def test_the_model_names_no_folder_of_the_machine_it_was_made_on() -> None:
    for file in MODEL.rglob("*.json"):
        text = file.read_text(encoding="utf-8")
        assert "_name_or_path" not in text
        if file.name != "vocab.json":
            assert "/" not in text


def test_the_model_has_no_safety_checker() -> None:
    index = json.loads((MODEL / "model_index.json").read_text(encoding="utf-8"))
    assert index["safety_checker"] == index["feature_extractor"] == [None, None]
    assert index["requires_safety_checker"] is False


def test_the_weights_are_half_precision_and_finite() -> None:
    for file in MODEL.rglob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118 - not a dict
                tensor = weights.get_tensor(name)
                assert tensor.dtype in (torch.float16, torch.int64)
                assert torch.isfinite(tensor.float()).all()


def test_kohyas_names_exist_in_the_denoiser(pipeline: StableDiffusionPipeline) -> None:
    names = {f"lora_unet_{name}".replace(".", "_") for name, _ in pipeline.unet.named_modules()}
    assert "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q" in names
    assert "lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj" in names


def test_the_model_draws_a_picture(pipeline: StableDiffusionPipeline) -> None:
    pipeline.set_progress_bar_config(disable=True)
    drawn = [
        pipeline(
            "a big red cat on a plain blue background",
            num_inference_steps=3,
            height=128,
            width=128,
            generator=torch.Generator().manual_seed(1),
        ).images[0]
        for _ in range(2)
    ]
    assert drawn[0].size == (128, 128)
    assert drawn[0].tobytes() == drawn[1].tobytes()
