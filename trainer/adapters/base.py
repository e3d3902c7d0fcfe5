"""What the loop sees of an adapter: layers put into a model's components, and their tensors by canonical name."""

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from trainer.job.blocks import Block
from trainer.job.facts import ADAPTERS
from trainer.job.settings import Adapter


class Target(Protocol):
    """A part of a model to adapt (see trainer.families.base.Component)."""

    @property
    def name(self) -> str: ...
    @property
    def module(self) -> nn.Module: ...
    @property
    def blocks(self) -> frozenset[str]: ...
    @property
    def conv_blocks(self) -> frozenset[str]: ...
    @property
    def attention(self) -> frozenset[str]: ...
    @property
    def mlp(self) -> frozenset[str]: ...
    @property
    def block_of(self) -> Callable[[str], Block | None]: ...
    @property
    def block_rates(self) -> Sequence[float]: ...


@dataclasses.dataclass(frozen=True)
class Layer:
    """What one adapted layer holds: tensors by kind (a key of trainer.formats.layers.ENDINGS) and its alpha.

    Linear: lora_down [rank, in], lora_up [out, rank]. Convolution: lora_down [rank, in, k, k], lora_up [out, rank, 1,
    1]; the other kinds are described where they are made. `delta` gives what the layer now adds to its weight, of the
    weight's shape, by the arithmetic that the model is run with. Where that depends on the weight itself (DoRA),
    `weight` gives it in float32.
    """

    tensors: Mapping[str, nn.Parameter]
    alpha: float
    delta: Callable[[], Tensor]
    weight: Callable[[], Tensor] | None = None


@dataclasses.dataclass(frozen=True)
class Injected:
    """The adapted layers by canonical name, and the parameters of each component by its name."""

    layers: Mapping[str, Layer]
    parameters: Mapping[str, Sequence[nn.Parameter]]

    def tensors(self) -> dict[str, Tensor]:
        """Every trained tensor by `layer.kind`."""
        return {
            f"{name}.{kind}": tensor for name, layer in self.layers.items() for kind, tensor in layer.tensors.items()
        }


def gathered(targets: Sequence[Target], seed: int, put: Callable[[Target], Iterable[tuple[str, Layer]]]) -> Injected:
    """What `put` puts into each target, by path in it; all chance in it follows from `seed`."""
    layers: dict[str, Layer] = {}
    parameters: dict[str, Sequence[nn.Parameter]] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for target in targets:
            found = dict(put(target))
            layers.update({f"{target.name}.{path}": layer for path, layer in found.items()})
            parameters[target.name] = [tensor for layer in found.values() for tensor in layer.tensors.values()]
    return Injected(layers, parameters)


class AdapterKind(Protocol):
    """The function of an adapter's module."""

    def inject(self, targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
        """Puts layers into `targets`, in float32, that change nothing yet; their first values come from `seed`."""


def adapter(kind: str) -> AdapterKind:
    """The adapter kind of a job."""
    return cast(AdapterKind, importlib.import_module(f"trainer.adapters.{ADAPTERS[kind].module}"))
