"""LoRA layers and files with random numbers, made by the rules that the formats' authors give."""

import pathlib
import types
from collections.abc import Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer.formats.layers import LoraLayer

TO_K = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
PROJ_IN = "unet.down_blocks.0.attentions.0.proj_in"
CONV = "unet.down_blocks.1.resnets.0.conv1"
FC1 = "text_encoder.text_model.encoder.layers.0.mlp.fc1"


def random(*shape: int) -> Tensor:
    """Numbers of the standard normal distribution, drawn from the process's generator."""
    return torch.randn(*shape)


def lora(name: str, out: int, inner: tuple[int, ...], rank: int, alpha: float | None) -> LoraLayer:
    """A LoRA layer of a linear layer (`inner` = (in,)) or a convolution (in, k, k)."""
    up = random(out, rank, *[1] * (len(inner) - 1))
    return layer(name, {"lora_down": random(rank, *inner), "lora_up": up}, alpha)


def layer(name: str, tensors: Mapping[str, Tensor], alpha: float | None) -> LoraLayer:
    return LoraLayer(name, types.MappingProxyType(dict(tensors)), alpha)


def sd15(rank: int = 4, alpha: float | None = 3.0, seed: int = 0) -> dict[str, LoraLayer]:
    """Layers of every shape that Stable Diffusion 1.x has, with the width of its text states."""
    torch.manual_seed(seed)
    return {
        TO_K: lora(TO_K, 32, (768,), rank, alpha),
        PROJ_IN: lora(PROJ_IN, 32, (32, 1, 1), rank, alpha),
        CONV: lora(CONV, 24, (16, 3, 3), rank + 1, alpha),
        FC1: lora(FC1, 64, (48,), rank, alpha),
    }


def file(path: pathlib.Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> pathlib.Path:
    """A file with these very names."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, dict(metadata or {}))
    return path


def error(one: Tensor, other: Tensor) -> float:
    """‖one − other‖ ÷ ‖other‖."""
    return float((one.reshape(other.shape) - other).norm() / other.norm())


def largest_error(layers: Mapping[str, LoraLayer], others: Mapping[str, LoraLayer]) -> float:
    """The largest relative error of any layer's change; both must have the same layers."""
    assert layers.keys() == others.keys()
    return max(error(layers[name].delta(), others[name].delta()) for name in others)
