"""One alpha for all layers of a component, where a reader would overlook that some have another.

diffusers 0.42 collects the alphas of a Kohya file under names that its attention layers do not have: each of those gets
the commonest alpha of its component, whatever the file says of it (utils/peft_utils.py, get_peft_kwargs). ComfyUI,
Forge, A1111 and sd-scripts read each layer's own. What a layer adds is alpha ÷ rank · up @ down, so that another alpha
with the inverse factor in `up` means the same to all of them.
"""

import collections
import dataclasses
import re
from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

_ATTENTION = re.compile(r"\.attn[12]\.to_(?:q|k|v|out\.0)$|\.self_attn\.(?:[qkv]|out)_proj$")


class Scaled(Protocol):
    """A layer with its tensors by kind and its alpha."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...
    @property
    def alpha(self) -> float | None: ...


@dataclasses.dataclass(frozen=True)
class Rescaled:
    """A layer that means the same with another alpha."""

    tensors: Mapping[str, Tensor]
    alpha: float


def uneven(layers: Mapping[str, Scaled]) -> Mapping[str, float]:
    """The components with an attention layer whose alpha is not that of all, and the commonest alpha of each."""
    found = {}
    for component, inside in _by_component(layers).items():
        counts = collections.Counter(layer.alpha for layer in inside.values())
        commonest = counts.most_common(1)[0][0]
        if any(layer.alpha != commonest for name, layer in inside.items() if _ATTENTION.search(name)):
            del counts[None]
            found[component] = counts.most_common(1)[0][0] or 1.0
    return found


def evened(layers: Mapping[str, Scaled]) -> Mapping[str, Scaled]:
    """The layers, those of uneven components with the commonest alpha and what is missing of it in `lora_up`.

    Layers of other kinds stay, since those who overlook alphas do not read them at all.
    """
    wrong = uneven(layers)
    return {
        name: _with_alpha(layer, wrong[_component(name)]) if _component(name) in wrong else layer
        for name, layer in layers.items()
    }


def _with_alpha(layer: Scaled, alpha: float) -> Scaled:
    if "lora_up" not in layer.tensors or layer.alpha == alpha:
        return layer
    up, rank = layer.tensors["lora_up"].detach(), layer.tensors["lora_down"].shape[0]
    own = rank if layer.alpha is None else layer.alpha  # where it is missing the scale is 1
    return Rescaled({**layer.tensors, "lora_up": (up.float() * (own / alpha)).to(up.dtype)}, alpha)


def _by_component(layers: Mapping[str, Scaled]) -> dict[str, dict[str, Scaled]]:
    found: dict[str, dict[str, Scaled]] = {}
    for name, layer in layers.items():
        found.setdefault(_component(name), {})[name] = layer
    return found


def _component(name: str) -> str:
    return name.partition(".")[0]
