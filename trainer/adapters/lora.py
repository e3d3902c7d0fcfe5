"""LoRA (Hu et al., arXiv:2106.09685) on linear and 1 × 1 layers and, as LoCon, on convolutions too.

PEFT does the arithmetic.
"""

import functools
from collections.abc import Iterator, Sequence

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora.layer import LoraLayer
from torch import nn

from trainer.adapters.base import Injected, Layer, Target
from trainer.job.facts import ADAPTERS
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
    plain, spatial = adaptable(target, "conv_rank" in ADAPTERS[settings.type].capabilities)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=[*plain, *spatial],
        rank_pattern=dict.fromkeys(map(_exactly, spatial), settings.conv_rank),
        alpha_pattern=dict.fromkeys(map(_exactly, spatial), settings.conv_alpha),
    )
    inject_adapter_in_model(config, target.module, adapter_name=_NAME)
    for path, module in target.module.named_modules():
        if isinstance(module, LoraLayer):
            down, up = module.lora_A[_NAME].float(), module.lora_B[_NAME].float()
            tensors = {"lora_down": down.weight, "lora_up": up.weight}
            delta = functools.partial(module.get_delta_weight, _NAME)
            yield path, Layer(tensors, float(module.lora_alpha[_NAME]), delta)


def _exactly(path: str) -> str:
    # PEFT matches these patterns as regular expressions at the end of a name.
    return "^" + path.replace(".", r"\.")


def adaptable(target: Target, convolutions: bool) -> tuple[list[str], list[str]]:
    """Names of the linear and 1 × 1 layers, and of the larger convolutions, that are to be adapted."""
    plain, spatial = [], []
    classes = target.blocks | (target.conv_blocks if convolutions else frozenset())
    inside = [path + "." for path, module in target.module.named_modules() if type(module).__name__ in classes]
    for path, module in target.module.named_modules():
        if not path.startswith(tuple(inside)) or not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        (spatial if isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1) else plain).append(path)
    return plain, spatial
