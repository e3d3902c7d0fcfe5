"""A frozen layer whose weight gets a learned change, for kinds of adapters whose change is no second, smaller layer.

The change is added to the weight before the layer runs, so the pass through the layer costs what it did; it is made in
float32 whatever the model runs in.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adapters.base import Injected, Layer, Target, gathered
from trainer.adapters.places import Place, places
from trainer.job.settings import Adapter

DORA = "dora_scale"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How one kind of adapter makes a change.

    `first` gives the first values by kind of tensor, for a weight of a shape and a rank, so that nothing changes yet;
    `product` makes of them the change, in as many elements as the weight has and not yet scaled by alpha ÷ rank. Where
    there is a tensor of the kind `whole` there is no rank to divide by, and no reader scales.
    """

    first: Callable[[Sequence[int], int], dict[str, Tensor]]
    product: Callable[[Mapping[str, Tensor]], Tensor]
    whole: str = ""


class Changed(nn.Module):
    """A linear or convolution layer `base` that runs with the weight W' instead of its own W.

    W' = W + ΔW, ΔW = scale · product; or with the tensor `dora_scale` m, [1, in, …], W' = m · (W + ΔW) / ‖W + ΔW‖, the
    norms over all but the input axis.
    """

    def __init__(self, place: Place, tensors: Mapping[str, Tensor], recipe: Recipe, settings: Adapter) -> None:
        super().__init__()
        self.base = place.module
        self.tensors = nn.ParameterDict(tensors)
        self.product, self.settings = recipe.product, settings
        self.alpha, rank = (1.0, 1) if recipe.whole in tensors else (place.alpha, place.rank)
        self.scale = self.alpha / rank

    @property
    def weight(self) -> Tensor:
        """The frozen weight."""
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base.bias

    def change(self) -> Tensor:
        """W' − W, float32, of the weight's shape."""
        with torch.autocast(self.weight.device.type, enabled=False):
            change = self.product(self.tensors).reshape(self.weight.shape) * self.scale
            if DORA not in self.tensors:
                return change
            weight = self.weight.float()
            whole = weight + change
            # The paper lets no gradient through the norms, which saves memory and changes little (4.3).
            return whole * (self.tensors[DORA] / input_norms(whole).detach()) - weight

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output with W'."""
        change = self._thinned(self.change()) if self.training else self.change()
        if self.training and self.settings.dropout:
            left = functional.dropout(x, self.settings.dropout)
            return self.base(x) + self._run(left, change, None)
        return self._run(x, self.weight.float() + change, self.bias)

    def _run(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        weight, base = weight.to(x.dtype), self.base
        if isinstance(base, nn.Linear):
            return functional.linear(x, weight, bias)
        return functional.conv2d(x, weight, bias, base.stride, base.padding, base.dilation, base.groups)

    def _thinned(self, change: Tensor) -> Tensor:
        """The change without a share of its rows, or wholly left out, as chance has it; what is left is scaled up."""
        if share := self.settings.rank_dropout:
            rows = torch.rand(change.shape[0], device=change.device) >= share
            change = change * (rows / (1 - share)).view(-1, *[1] * (change.dim() - 1))
        if share := self.settings.module_dropout:
            # A product with 0 instead of no product: without gradients several processes would wait for each other.
            change = change * (torch.rand(1, device=change.device) >= share)
        return change


def input_norms(weight: Tensor) -> Tensor:
    """‖·‖ over all axes but the second, of shape [1, in, …], never 0."""
    others = [axis for axis in range(weight.dim()) if axis != 1]
    return torch.linalg.vector_norm(weight, dim=others, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def inject_changes(targets: Sequence[Target], settings: Adapter, seed: int, recipe: Recipe) -> Injected:
    """Adapts every layer that the settings and the targets name; see AdapterKind."""
    return gathered(targets, seed, functools.partial(_inject, settings=settings, recipe=recipe))


def _inject(target: Target, settings: Adapter, recipe: Recipe) -> Iterator[tuple[str, Layer]]:
    for place in places(target, settings):
        changed = _changed(place, settings, recipe)
        parent, _, child = place.path.rpartition(".")
        setattr(target.module.get_submodule(parent), child, changed)
        weight = functools.partial(_frozen, changed) if settings.decompose else None
        yield place.path, Layer(dict(changed.tensors.items()), changed.alpha, changed.change, weight)


def _frozen(changed: Changed) -> Tensor:
    """The frozen weight in float32, wherever it is by now."""
    return changed.weight.detach().float()


def _changed(place: Place, settings: Adapter, recipe: Recipe) -> Changed:
    weight = place.module.weight.detach()
    first = recipe.first(weight.shape, place.rank)
    if settings.decompose:
        first[DORA] = input_norms(weight.float())
    tensors = {kind: nn.Parameter(value.to(weight.device, torch.float32)) for kind, value in first.items()}
    return Changed(place, tensors, recipe, settings)
