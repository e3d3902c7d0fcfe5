"""Stable Diffusion XL as diffusers runs it, what it is told of a picture, and how much of it is trained."""

import json
import pathlib

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.trainer import tiny
from trainer.adapters.places import places
from trainer.engine import device
from trainer.engine.loop import train
from trainer.families import sdxl, sources
from trainer.families.base import Frame, SampleRequest
from trainer.families.clip_text import text_component
from trainer.families.latent_diffusion import unet_component
from trainer.families.sdxl import Sdxl
from trainer.job.settings import Adapter
from trainer.run import folder
from trainer.run.folder import RunFolder


def trained(tmp_path: pathlib.Path, base: pathlib.Path, changes: dict[str, dict[str, object]]) -> RunFolder:
    common: dict[str, dict[str, object]] = {
        "model": {"base": str(base), "family": "sdxl"},
        "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.05},
        "samples": {
            "prompts": ["a red thing --n blue", "a red thing"],
            "steps": 4,
            "guidance": 4,
            "width_px": 48,
            "height_px": 32,
            "every_epochs": 2,
        },
        "output": {"save_precision": "fp32", "folder": str(tmp_path / "out"), "name": "tiny"},
    }
    job = tiny.job(tmp_path, base, {**common, **changes})
    run = folder.create(tmp_path / "out", "tiny")
    train(job, run, lambda event: None)
    return run


def drawn_by_diffusers(base: pathlib.Path, lora: pathlib.Path | None) -> list[np.ndarray]:
    pipeline = StableDiffusionXLPipeline.from_pretrained(base, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    if lora:
        pipeline.load_lora_weights(lora)
    pictures = [
        pipeline(
            "a red thing",
            negative_prompt=negative,
            width=48,
            height=32,
            num_inference_steps=4,
            guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(42 + number),
        ).images[0]
        for number, negative in enumerate(["blue", None])
    ]
    return [np.asarray(picture, dtype=int) for picture in pictures]


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks", "lora_te1", "lora_te2"}),
        (
            {
                "adapter": {"type": "locon", "rank": 2, "conv_rank": 3, "conv_alpha": 2},
                "training": {"epochs": 2, "batch_size": 2, "learning_rate": 0.05, "text_encoder": False},
            },
            {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks"},
        ),
        (
            {"adapter": {"rank_stabilised": True, "block_ranks": [2, 4, 3], "block_alphas": [1, 4, 2]}},
            {"lora_unet_input_blocks", "lora_unet_middle_block", "lora_unet_output_blocks", "lora_te1", "lora_te2"},
        ),
    ],
    ids=["lora", "locon", "blocks"],
)
def test_diffusers_draws_the_same_pictures_from_the_file(
    tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path, changes: dict[str, dict[str, object]], layers: set[str]
) -> None:
    run = trained(tmp_path, tiny_sdxl, changes)
    file = run.weights / "tiny.safetensors"
    theirs = drawn_by_diffusers(tiny_sdxl, None), drawn_by_diffusers(tiny_sdxl, file)
    for number in (0, 1):
        ours = [
            np.asarray(Image.open(run.samples / f"tiny_e000{epoch}_p0{number + 1}_s{42 + number}.png"), dtype=int)
            for epoch in (0, 2)
        ]
        assert np.abs(ours[0] - theirs[0][number]).max() <= 1
        assert np.abs(ours[1] - theirs[1][number]).max() <= 1
        assert np.abs(ours[1] - ours[0]).max() > 4
    names = load_file(file)
    assert {layer for layer in layers if any(name.startswith(layer) for name in names)} == layers
    assert all(any(name.startswith(layer) for layer in layers) for name in names)


def loaded(tmp_path: pathlib.Path, base: pathlib.Path) -> Sdxl:
    job = tiny.job(tmp_path, base, {"model": {"family": "sdxl", "base": str(base)}})
    return sdxl.load(job, device.pick(job.training))


def test_a_model_whose_index_says_so_is_guided_away_from_the_empty_text(tmp_path: pathlib.Path) -> None:
    base = tiny.sdxl(tmp_path / "model")
    request = SampleRequest("a red thing", "", 32, 32, 42, 4.0, 2, "euler")
    pictures = []
    for zeros in (True, False):
        index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
        index["force_zeros_for_empty_prompt"] = zeros
        (base / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
        pictures.append(np.asarray(sdxl.sample(loaded(tmp_path, base), [request])[0]))
    assert not np.array_equal(*pictures)


def test_the_model_is_told_heights_before_widths() -> None:
    frame = Frame(original=(1600, 900), place=(30, 4), shown=(1344, 768))
    assert sdxl.sizes([frame]).tolist() == [[900, 1600, 4, 30, 768, 1344]]


def test_the_second_encoder_learns_at_its_own_rate_where_one_is_given(
    tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path
) -> None:
    rates = []
    for second in (0, 0.002):
        training = {"text_encoder_learning_rate": 0.003, "text_encoder_2_learning_rate": second, "learning_rate": 0.01}
        values = {"model": {"family": "sdxl", "base": str(tiny_sdxl)}, "training": training}
        job = tiny.job(tmp_path, tiny_sdxl, values)
        rates.append([part.learning_rate for part in sdxl.load(job, device.pick(job.training)).components])
    assert rates == [[0.01, 0.003, 0.003], [0.01, 0.003, 0.002]]


def of_full_size() -> dict[str, nn.Module]:
    """The models by the shipped configs, without any memory for weights."""

    def config(part: str) -> dict[str, object]:
        return json.loads((sources.CONFIGS / "sdxl" / part / "config.json").read_text(encoding="utf-8"))

    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel.from_config(config("unet")),
            "vae": AutoencoderKL.from_config(config("vae")),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**config("text_encoder"))),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**config("text_encoder_2"))),
        }


def test_at_full_size_there_are_as_many_parameters_and_layers_as_published() -> None:
    """As many layers as sd-scripts adapts: 722 of the UNet, 66 more with convolutions, 72 and 192 of the encoders."""
    models = of_full_size()
    counts = {name: sum(parameter.numel() for parameter in model.parameters()) for name, model in models.items()}
    assert counts == {
        "unet": 2_567_463_684,
        "vae": 83_653_863,
        "text_encoder": 123_060_480,
        "text_encoder_2": 694_659_840,
    }
    unet = unet_component(models["unet"], 1e-4)
    assert [len(places(unet, Adapter(type=kind))) for kind in ("lora", "locon")] == [722, 788]
    for name, count in (("text_encoder", 72), ("text_encoder_2", 192)):
        assert len(places(text_component(name, models[name], 1e-4), Adapter())) == count
