"""What the loop sees of an adapter: layers put into a model's components, and their tensors by canonical name."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

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
    """What one adapted layer holds: tensors by kind (lora_down, lora_up) and its alpha.

    Linear: down [rank, in], up [out, rank]. Convolution: down [rank, in, k, k], up [out, rank, 1, 1]. `delta` gives
    what the layer now adds to its weight, of the weight's shape, by the arithmetic that the model is run with.
    """

    tensors: Mapping[str, nn.Parameter]
    alpha: float
    delta: Callable[[], Tensor]


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


class AdapterKind(Protocol):
    """The function of an adapter's module."""

    def inject(self, targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
        """Puts layers into `targets`, in float32, that change nothing yet; their first values come from `seed`."""


def adapter(kind: str) -> AdapterKind:
    """The adapter kind of a job."""
    return cast(AdapterKind, importlib.import_module(f"trainer.adapters.{ADAPTERS[kind].module}"))
