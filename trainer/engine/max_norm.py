"""Max-norm regularisation: no layer's change may grow beyond a norm (Srebro & Shraibman, 2005, as in sd-scripts)."""

import types
from collections.abc import Iterable

import torch
from torch import Tensor

from trainer.adapters.base import Layer
from trainer.formats.layers import LoraLayer


@torch.no_grad()
def limit(layers: Iterable[Layer], most: float) -> None:
    """Scales every layer whose change (without DoRA's norms) has a Frobenius norm above `most` down to it.

    All of a layer's factors are scaled alike, so that their balance stays. Nothing waits for the device: a layer within
    the limit is multiplied by exactly 1.
    """
    for layer in layers:
        factors = [tensor for kind, tensor in layer.tensors.items() if kind != "dora_scale"]
        ratio = (most / _norm(layer)).clamp(max=1.0) ** (1 / len(factors))
        for tensor in factors:
            tensor.mul_(ratio)


def _norm(layer: Layer) -> Tensor:
    tensors = layer.tensors
    if tensors.keys() - {"dora_scale"} != {"lora_down", "lora_up"}:
        return LoraLayer("", types.MappingProxyType(dict(tensors)), layer.alpha).delta(_device(layer)).norm()
    # ‖up @ down‖² is the sum over (upᵀ @ up) ∘ (down @ downᵀ), which are only rank × rank.
    up, down = tensors["lora_up"].float().flatten(1), tensors["lora_down"].float().flatten(1)
    square = ((up.T @ up) * (down @ down.T)).sum().clamp_min(0)
    return square.sqrt() * (layer.alpha / down.shape[0])


def _device(layer: Layer) -> torch.device:
    return next(iter(layer.tensors.values())).device
