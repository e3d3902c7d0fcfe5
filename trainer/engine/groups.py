"""The optimizer's parameter groups: which parameters learn at which rate."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from trainer.adapters.base import Injected, Layer
from trainer.families.base import Component
from trainer.job.blocks import of_block
from trainer.job.settings import Training


def groups(components: Sequence[Component], injected: Injected, training: Training) -> list[dict[str, Any]]:
    """One group for each rate of a component, in the order of its layers; without settings for it, one a component.

    `base_lr` is the rate that the schedule multiplies: the component's, times that of the layer's block, times the
    ratio of LoRA+ for what begins at zero. The values of `injected` must still be those that it began with.
    """
    found = []
    for part in components:
        by_rate: dict[float, list[nn.Parameter]] = {}
        for name, layer in injected.layers.items():
            if name.startswith(part.name + "."):
                _sort(by_rate, layer, _layer_rate(part, name), ratio(training, part.name))
        found += [{"params": many, "lr": rate, "base_lr": rate} for rate, many in by_rate.items()]
    return found


def _layer_rate(part: Component, name: str) -> float:
    factor = of_block(part.block_rates, part.block_of(name.removeprefix(part.name + ".")))
    return part.learning_rate if factor is None else part.learning_rate * factor


def _sort(by_rate: dict[float, list[nn.Parameter]], layer: Layer, rate: float, plus: float) -> None:
    for tensor in layer.tensors.values():
        faster = plus != 1 and not tensor.any()
        by_rate.setdefault(rate * plus if faster else rate, []).append(tensor)


def ratio(training: Training, component: str) -> float:
    """The ratio of LoRA+ (Hayou et al., arXiv:2402.12354) for a component; 1 where it is off.

    It holds for the tensor of a layer that begins at zero: LoRA's B (`lora_up`), which the paper means, and what stands
    in its place in the other kinds.
    """
    both = training.loraplus_ratio or 1.0
    return training.loraplus_text_encoder_ratio or both if component.startswith("text_encoder") else both
