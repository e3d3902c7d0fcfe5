"""The receipt for a LoRA file: it is opened again, as a stranger would, and compared with what was learned."""

import math
import pathlib
import types
from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.adapters.base import Injected, Layer
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora
from trainer.job.trouble import Refused, Trouble
from trainer.job.words import say

# What the order of float32 additions may change; with it, what rounding two factors to 11 or 8 bits costs.
_ARITHMETIC = 1e-5
_USUAL: Mapping[torch.dtype, float] = types.MappingProxyType({torch.float16: 5e-4, torch.bfloat16: 4e-3})
# Very small numbers lose more; then it is computed what these very ones lose, and twice as much is allowed.
_ROUNDING = 2.0


@torch.no_grad()
def largest_error(path: pathlib.Path, injected: Injected) -> float:
    """The largest ‖ΔW in the file − ΔW of the live adapter‖ ÷ ‖ΔW‖ of all layers; with DoRA, ΔW includes the norms.

    Raises Trouble when a layer is missing or differs by more than the rounding to the file's precision explains.
    """
    try:
        file = open_lora(path)
    except Refused as error:
        raise Trouble("file_not_verified", file=path.name, reason=error) from error
    for name in injected.layers.keys() ^ file.layers.keys():
        missing = "verified_missing" if name in injected.layers else "verified_more"
        raise Trouble("file_not_verified", file=path.name, reason=say(missing, layer=name))
    largest = 0.0
    for name, layer in injected.layers.items():
        error, allowed = _error(layer, file.layers[name], file.precision)
        if not error <= allowed:
            reason = say("verified_differs", layer=name, error=error, allowed=allowed)
            raise Trouble("file_not_verified", file=path.name, reason=reason)
        largest = max(largest, error)
    return largest


def changes_nothing(path: pathlib.Path) -> bool:
    """Whether a LoRA file leaves a model as it is, because nothing was learned that its precision can hold."""
    layers = open_lora(path).layers.values()
    return not any(layer.is_dora or bool(layer.delta().any()) for layer in layers)


def _error(live: Layer, stored: LoraLayer, precision: torch.dtype) -> tuple[float, float]:
    """The relative error of one layer, and what is allowed; a layer that changes nothing has to change nothing."""
    learned = live.delta()
    size = float(learned.norm())
    found = _distance(_change(stored, live), learned)
    if not size:
        return (math.inf if found else 0.0), 0.0
    usual = _USUAL.get(precision, _ARITHMETIC)
    if found <= usual * size:
        return found / size, usual
    tensors = {kind: tensor.detach() for kind, tensor in live.tensors.items()}
    rounded = {kind: tensor.to(precision) for kind, tensor in tensors.items()}
    one, other = (LoraLayer("", types.MappingProxyType(part), live.alpha) for part in (tensors, rounded))
    lost = _distance(_change(one, live), _change(other, live))
    return found / size, _ARITHMETIC + _ROUNDING * lost / size


def _change(layer: LoraLayer, live: Layer) -> Tensor:
    """What `layer` adds to the weight that `live` changes."""
    device = next(iter(live.tensors.values())).device
    if live.weight is None or not layer.is_dora:
        return layer.delta(device)
    weight = live.weight()
    return layer.changed(weight, 1.0) - weight


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one.reshape(other.shape) - other).norm())
