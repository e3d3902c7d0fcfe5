"""LoRA (Hu et al., arXiv:2106.09685) on linear and 1 × 1 layers and, as LoCon, on convolutions too.

PEFT does the arithmetic, but for DoRA: PEFT takes the norms along the output axis, where the programs that read DoRA
disagree, instead of the input axis, where they agree (see Changed).
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

from trainer.adapters.base import Injected, Layer, Target, gathered
from trainer.adapters.changed import Recipe, inject_changes
from trainer.adapters.places import places
from trainer.job.settings import Adapter

_NAME = "default"


def inject(targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
    """Adapts every layer that the settings and the targets name; see AdapterKind."""
    if settings.decompose:
        return inject_changes(targets, settings, seed, Recipe(_first, _product))
    return gathered(targets, seed, functools.partial(_inject, settings=settings))


def _inject(target: Target, settings: Adapter) -> Iterator[tuple[str, Layer]]:
    found = places(target, settings)
    if not found:
        return
    config = LoraConfig(
        lora_dropout=settings.dropout,
        target_modules=[place.path for place in found],
        rank_pattern=_pattern({place.path: place.rank for place in found}),
        alpha_pattern=_pattern({place.path: place.alpha for place in found}),
    )
    inject_adapter_in_model(config, target.module, adapter_name=_NAME)
    for path, module in target.module.named_modules():
        if isinstance(module, LoraLayer):
            down, up = module.lora_A[_NAME].float(), module.lora_B[_NAME].float()
            if settings.rank_dropout:
                down.register_forward_hook(functools.partial(_without_ranks, settings.rank_dropout))
            if settings.module_dropout:
                up.register_forward_hook(functools.partial(_left_out, settings.module_dropout))
            tensors = {"lora_down": down.weight, "lora_up": up.weight}
            delta = functools.partial(module.get_delta_weight, _NAME)
            yield path, Layer(tensors, float(module.lora_alpha[_NAME]), delta)


def _pattern(values: Mapping[str, float]) -> dict[str, float]:
    """One regular expression for all paths of a value: PEFT tries each of them on each layer."""
    paths: dict[float, list[str]] = {}
    for path, value in values.items():
        paths.setdefault(value, []).append(re.escape(path))
    return {f"^(?:{'|'.join(alike)})": value for value, alike in paths.items()}


def _without_ranks(share: float, down: nn.Module, inputs: object, hidden: Tensor) -> Tensor:
    """`hidden` [B, …, rank] or [B, rank, h, w] without a share of its ranks; the others are scaled up."""
    if not down.training:
        return hidden
    ranks = down.weight.shape[0]
    kept = torch.rand(hidden.shape[0], ranks, device=hidden.device) >= share
    middle = [1] * (hidden.dim() - 2)
    shape = (-1, ranks, *middle) if isinstance(down, nn.Conv2d) else (-1, *middle, ranks)
    return hidden * kept.view(shape) / (1 - share)


def _left_out(share: float, up: nn.Module, inputs: object, change: Tensor) -> Tensor:
    """`change`, or 0 as chance has it. It stays a product, so that every process has gradients to exchange."""
    return change * (torch.rand(1, device=change.device) >= share) if up.training else change


def _first(shape: Sequence[int], rank: int) -> dict[str, Tensor]:
    """down [rank, in, …] and up [out, rank, …], with the first values of the paper."""
    down = torch.nn.init.kaiming_uniform_(torch.empty(rank, *shape[1:]), a=math.sqrt(5))
    return {"lora_down": down, "lora_up": torch.zeros(shape[0], rank, *[1] * (len(shape) - 2))}


def _product(tensors: Mapping[str, Tensor]) -> Tensor:
    return tensors["lora_up"].flatten(1) @ tensors["lora_down"].flatten(1)
