"""LoRA (Hu et al., arXiv:2106.09685) on linear and 1 × 1 layers and, as LoCon, on convolutions too.

PEFT does the arithmetic.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from trainer.adapters.base import Injected, Layer, Target
from trainer.adapters.places import places
from trainer.job.settings import Adapter

_NAME = "default"


def inject(targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
    """Adapts every layer that the settings and the targets name; see AdapterKind."""
    layers: dict[str, Layer] = {}
    parameters: dict[str, Sequence[nn.Parameter]] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for target in targets:
            found = dict(_inject(target, settings))
            layers.update({f"{target.name}.{path}": layer for path, layer in found.items()})
            parameters[target.name] = [tensor for layer in found.values() for tensor in layer.tensors.values()]
    return Injected(layers, parameters)


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
            tensors = {"lora_down": down.weight, "lora_up": up.weight}
            delta = functools.partial(module.get_delta_weight, _NAME)
            yield path, Layer(tensors, float(module.lora_alpha[_NAME]), delta)


def _pattern(values: Mapping[str, float]) -> dict[str, float]:
    """One regular expression for all paths of a value: PEFT tries each of them on each layer."""
    paths: dict[float, list[str]] = {}
    for path, value in values.items():
        paths.setdefault(value, []).append(re.escape(path))
    return {f"^(?:{'|'.join(alike)})": value for value, alike in paths.items()}
