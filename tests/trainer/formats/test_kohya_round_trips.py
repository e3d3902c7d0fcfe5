"""Whatever an adapter has learned is read back from its file, by itself and after a trip through another format."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from trainer.adapters.base import Injected, Layer, adapter
from trainer.engine.receipt import largest_error
from trainer.families.clip_text import text_component, text_model
from trainer.families.latent_diffusion import unet_component
from trainer.formats import kohya
from trainer.formats.layers import LoraLayer
from trainer.formats.readers import readers
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job.settings import Adapter
from trainer.tools.convert import convert

LORAS: tuple[Mapping[str, Any], ...] = (
    {"type": "lora"},
    {"type": "lora", "rank_stabilised": True},
    {"type": "lora", "targets": "attention"},
    {"type": "locon"},
    {"type": "locon", "rank_stabilised": True, "targets": "attention_mlp"},
)
KINDS: tuple[Mapping[str, Any], ...] = (
    *LORAS,
    {"type": "lora", "decompose": True},
    {"type": "locon", "decompose": True, "rank_stabilised": True},
    {"type": "loha"},
    {"type": "loha", "rank_stabilised": True},
    {"type": "loha", "decompose": True},
    {"type": "lokr"},
    {"type": "lokr", "factor": 2, "rank_stabilised": True},
    {"type": "lokr", "full_matrix": True},
    {"type": "lokr", "factor": 4, "decompose": True},
)


@torch.no_grad()
def learned(base: pathlib.Path, settings: Mapping[str, Any]) -> Injected:
    """An adapter of the tiny model, text encoder and all, with random numbers in every tensor."""
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet").requires_grad_(False)
    text = CLIPTextModel.from_pretrained(base, subfolder="text_encoder").requires_grad_(False)
    parts = [unet_component(unet, 1e-4), text_component("text_encoder.text_model", text_model(text), 1e-4)]
    found = Adapter(**{"rank": 2, "alpha": 3.0, "conv_rank": 3, "conv_alpha": 1.0, **settings})
    injected = adapter(found.type).inject(parts, found, 1)
    for tensor in injected.tensors().values():
        tensor.add_(torch.randn_like(tensor) * 0.2)
    return injected


def change(layer: LoraLayer, live: Layer) -> Tensor:
    """What is added to the weight, a DoRA's norms included."""
    if not layer.is_dora:
        return layer.delta()
    assert live.weight is not None
    return layer.changed(live.weight(), 1.0) - live.weight()


def check(file: LoraFile, injected: Injected) -> None:
    assert file.layers.keys() == injected.layers.keys()
    for name, live in injected.layers.items():
        expected = live.delta().detach()
        found = change(file.layers[name], live).reshape(expected.shape)
        assert (found - expected).norm() <= 1e-6 * expected.norm(), name


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_a_file_gives_back_what_was_learned(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, settings: Mapping[str, Any]
) -> None:
    injected = learned(tiny_model, settings)
    path = tmp_path / "a.safetensors"
    kohya.write(path, injected.layers, "fp32", {})
    file = open_lora(path)
    assert set(file.kinds) == {settings["type"], *(["dora"] if settings.get("decompose") else [])} - (
        {"locon"} if settings.get("targets") else set()
    ) | ({"lora"} if settings.get("targets") else set())
    check(file, injected)
    assert largest_error(path, injected) <= 1e-6


@pytest.mark.parametrize("settings", LORAS, ids=str)
def test_the_way_to_diffusers_and_back_costs_nothing(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, settings: Mapping[str, Any]
) -> None:
    injected = learned(tiny_model, settings)
    kohya.write(tmp_path / "a.safetensors", injected.layers, "fp32", {})
    convert(open_lora(tmp_path / "a.safetensors"), tmp_path / "b.safetensors", "peft", "fp32")
    there = open_lora(tmp_path / "b.safetensors")
    assert there.format == "peft"
    check(there, injected)
    convert(there, tmp_path / "c.safetensors", "kohya", "fp32")
    check(open_lora(tmp_path / "c.safetensors"), injected)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_norms_of_a_dora_are_not_rounded_away(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, precision: str
) -> None:
    """A half-precision norm is wrong by as much of W as a young change is large."""
    injected = learned(tiny_model, {"type": "locon", "decompose": True})
    with torch.no_grad():
        for name, tensor in injected.tensors().items():
            if name.endswith("lora_up"):
                tensor.mul_(1e-3)
            elif name.endswith("dora_scale"):
                layer = injected.layers[name.removesuffix(".dora_scale")]
                assert layer.weight is not None
                norms = layer.weight().transpose(0, 1).flatten(1).norm(dim=1)
                tensor.copy_((norms * 1.0001).reshape(tensor.shape))
    path = tmp_path / "a.safetensors"
    kohya.write(path, injected.layers, precision, {})
    file = open_lora(path)
    assert file.precision == kohya.DTYPES[precision]
    assert largest_error(path, injected) < 0.01
    assert {reader.program for reader in readers(file) if not reader.reason} == {"ComfyUI", "Forge"}
