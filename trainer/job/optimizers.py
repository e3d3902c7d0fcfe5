"""One class per optimizer: its own settings and how to build it.

A class added to `OPTIMIZERS` appears in `training.optimizer`, in the form and in the docs; nothing else changes.
`build` takes torch parameter groups, each with its own `lr`, so only there are the heavy libraries imported.
"""

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Protocol

import pydantic


class Optimizer(Protocol):
    """What the loop needs: `build` gives a torch optimizer over `groups` (dicts with "params" and "lr")."""

    label: ClassVar[str]
    one_learning_rate: ClassVar[bool]

    def build(self, groups: Iterable[dict[str, Any]]) -> Any: ...


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    one_learning_rate: ClassVar[bool] = False


_Share = Annotated[float, pydantic.Field(ge=0, lt=1)]
Betas = tuple[_Share, _Share]


class AdamW(_Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101); torch's fused implementation."""

    label: ClassVar[str] = "AdamW"
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import torch

        return torch.optim.AdamW(list(groups), fused=True, **self.model_dump())


class AdamW8bit(_Settings):
    """AdamW with its states in 8 bits (Dettmers et al., arXiv:2110.02861), from bitsandbytes: less memory."""

    label: ClassVar[str] = "AdamW 8-bit"
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.AdamW8bit(list(groups), **self.model_dump())


class Adafactor(_Settings):
    """Adafactor with a fixed learning rate (Shazeer & Stern, arXiv:1804.04235): hardly any memory for its state."""

    label: ClassVar[str] = "Adafactor"
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    scale_parameter: bool = False
    clip_threshold: float = pydantic.Field(1.0, gt=0)
    decay_rate: float = pydantic.Field(-0.8, ge=-1, lt=0)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from transformers.optimization import Adafactor as Implementation

        return Implementation(list(groups), relative_step=False, warmup_init=False, **self.model_dump())


class Lion(_Settings):
    """Lion (Chen et al., arXiv:2302.06675), from bitsandbytes: wants a third to a tenth of AdamW's learning rate."""

    label: ClassVar[str] = "Lion"
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.99)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.Lion(list(groups), **self.model_dump())


class Prodigy(_Settings):
    """Prodigy finds its own step size (Mishchenko & Defazio, arXiv:2306.06101): set the learning rate to 1."""

    label: ClassVar[str] = "Prodigy"
    one_learning_rate: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: Betas = (0.9, 0.99)
    d_coef: float = pydantic.Field(1.0, gt=0)
    use_bias_correction: bool = True
    safeguard_warmup: bool = True

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from prodigyopt import Prodigy as Implementation

        return Implementation(list(groups), decouple=True, **self.model_dump())


OPTIMIZERS: Mapping[str, type[AdamW] | type[AdamW8bit] | type[Adafactor] | type[Lion] | type[Prodigy]] = (
    types.MappingProxyType({cls.__name__: cls for cls in (AdamW, AdamW8bit, Adafactor, Lion, Prodigy)})
)
