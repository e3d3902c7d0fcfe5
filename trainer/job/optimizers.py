"""One class per optimizer: its own settings and how to build it.

A class added to `OPTIMIZERS` appears in `training.optimizer`, in the form and in the docs; nothing else changes.
`build` takes torch parameter groups, each with its own `lr`, so only there are the heavy libraries imported.
"""

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Protocol

import pydantic


class Optimizer(Protocol):
    """What the loop needs: `build` gives a torch optimizer over `groups` (dicts with "params" and "lr").

    With `one_learning_rate` all groups have the same rate; with `averages` what is saved and sampled from is an average
    (the optimizer has `train` and `eval`) and no schedule is wanted; `devices` are those that it works on. Where it
    cannot work, because its library or the device does not let it, `stand_in` takes its place with the same settings;
    `eight_bit` is the one with the same settings and state, but in 8 bits, "" where there is none. At learning rates
    beyond `most_rate` hardly any training learns anything.
    """

    label: ClassVar[str]
    one_learning_rate: ClassVar[bool]
    averages: ClassVar[bool]
    devices: ClassVar[frozenset[str]]
    stand_in: ClassVar["type[Optimizer] | None"]
    eight_bit: ClassVar[str]
    most_rate: ClassVar[float]

    def __init__(self, **settings: Any) -> None: ...

    def build(self, groups: Iterable[dict[str, Any]]) -> Any: ...


_ANYWHERE = frozenset({"cpu", "cuda", "mps"})
_NOT_ON_APPLES = frozenset({"cpu", "cuda"})


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    one_learning_rate: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    devices: ClassVar[frozenset[str]] = _ANYWHERE
    stand_in: ClassVar[type[Optimizer] | None] = None
    eight_bit: ClassVar[str] = ""
    most_rate: ClassVar[float] = 0.01


_Share = Annotated[float, pydantic.Field(ge=0, lt=1)]
Betas = tuple[_Share, _Share]


class AdamW(_Settings):
    """Adam with decoupled weight decay (Loshchilov & Hutter, arXiv:1711.05101); torch's fused implementation."""

    label: ClassVar[str] = "AdamW"
    eight_bit: ClassVar[str] = "AdamW8bit"
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import torch

        return torch.optim.AdamW(list(groups), fused=True, **self.model_dump())


class AdamW8bit(_Settings):
    """AdamW with its states in 8 bits (Dettmers et al., arXiv:2110.02861), from bitsandbytes: less memory."""

    label: ClassVar[str] = "AdamW 8-bit"
    devices: ClassVar[frozenset[str]] = _NOT_ON_APPLES
    stand_in: ClassVar[type[Optimizer] | None] = AdamW
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


class PlainLion(_Settings):
    """Lion in plain torch, where bitsandbytes does not work."""

    label: ClassVar[str] = "Lion"
    most_rate: ClassVar[float] = 0.002
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.99)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from pytorch_optimizer import Lion as Implementation

        return Implementation(list(groups), weight_decouple=True, **self.model_dump())


class Lion(_Settings):
    """Lion (Chen et al., arXiv:2302.06675), from bitsandbytes: wants a third to a tenth of AdamW's learning rate."""

    label: ClassVar[str] = "Lion"
    most_rate: ClassVar[float] = 0.002
    stand_in: ClassVar[type[Optimizer] | None] = PlainLion
    eight_bit: ClassVar[str] = "Lion8bit"
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.99)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.Lion(list(groups), **self.model_dump())


class Prodigy(_Settings):
    """Prodigy finds its own step size (Mishchenko & Defazio, arXiv:2306.06101): set the learning rate to 1."""

    label: ClassVar[str] = "Prodigy"
    most_rate: ClassVar[float] = 5.0
    one_learning_rate: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: Betas = (0.9, 0.99)
    d0: float = pydantic.Field(1e-6, gt=0)
    d_coef: float = pydantic.Field(1.0, gt=0)
    decouple: bool = True
    use_bias_correction: bool = True
    safeguard_warmup: bool = True

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from prodigyopt import Prodigy as Implementation

        return Implementation(list(groups), **self.model_dump())


class PagedAdamW8bit(_Settings):
    """AdamW8bit whose states move to the main memory where the graphics card's runs short (bitsandbytes)."""

    label: ClassVar[str] = "AdamW 8-bit, paged"
    devices: ClassVar[frozenset[str]] = frozenset({"cuda"})
    stand_in: ClassVar[type[Optimizer] | None] = AdamW8bit
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.PagedAdamW8bit(list(groups), **self.model_dump())


class Lion8bit(_Settings):
    """Lion with its state in 8 bits, from bitsandbytes: less memory."""

    label: ClassVar[str] = "Lion 8-bit"
    most_rate: ClassVar[float] = 0.002
    devices: ClassVar[frozenset[str]] = _NOT_ON_APPLES
    stand_in: ClassVar[type[Optimizer] | None] = Lion
    weight_decay: float = pydantic.Field(0.01, ge=0, le=1)
    betas: Betas = (0.9, 0.99)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import bitsandbytes

        return bitsandbytes.optim.Lion8bit(list(groups), **self.model_dump())


class DAdaptAdam(_Settings):
    """Adam that finds its own step size (Defazio & Mishchenko, arXiv:2301.07733): set the learning rate to 1."""

    label: ClassVar[str] = "D-Adaptation Adam"
    most_rate: ClassVar[float] = 5.0
    one_learning_rate: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)
    d0: float = pydantic.Field(1e-6, gt=0)
    decouple: bool = False
    use_bias_correction: bool = False

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from pytorch_optimizer import DAdaptAdam as Implementation

        own = self.model_dump(exclude={"decouple", "use_bias_correction"})
        return Implementation(
            list(groups), weight_decouple=self.decouple, bias_correction=self.use_bias_correction, **own
        )


class DAdaptLion(_Settings):
    """Lion that finds its own step size (D-Adaptation, arXiv:2301.07733): set the learning rate to 1."""

    label: ClassVar[str] = "D-Adaptation Lion"
    most_rate: ClassVar[float] = 10.0
    one_learning_rate: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: Betas = (0.9, 0.999)
    d0: float = pydantic.Field(1e-6, gt=0)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from pytorch_optimizer import DAdaptLion as Implementation

        return Implementation(list(groups), weight_decouple=True, **self.model_dump())


class AdamWScheduleFree(_Settings):
    """AdamW that averages its steps instead of following a schedule (Defazio et al., arXiv:2405.15682)."""

    label: ClassVar[str] = "AdamW, schedule-free"
    averages: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: tuple[Annotated[float, pydantic.Field(gt=0, lt=1)], _Share] = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)
    r: float = pydantic.Field(0.0, ge=0)
    weight_lr_power: float = pydantic.Field(2.0, ge=0)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from pytorch_optimizer import ScheduleFreeAdamW

        return ScheduleFreeAdamW(list(groups), **self.model_dump())


class RAdamScheduleFree(_Settings):
    """RAdam without a schedule (arXiv:2405.15682): it warms up by itself, so its first steps are short."""

    label: ClassVar[str] = "RAdam, schedule-free"
    averages: ClassVar[bool] = True
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)
    betas: tuple[Annotated[float, pydantic.Field(gt=0, lt=1)], _Share] = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0, le=1)
    r: float = pydantic.Field(0.0, ge=0)
    weight_lr_power: float = pydantic.Field(2.0, ge=0)
    silent_sgd_phase: bool = True

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        from pytorch_optimizer import ScheduleFreeRAdam

        return ScheduleFreeRAdam(list(groups), **self.model_dump())


class SGDNesterov(_Settings):
    """Gradient descent with Nesterov's momentum (Sutskever et al., ICML 2013), from torch: wants a large rate."""

    label: ClassVar[str] = "SGD with Nesterov momentum"
    most_rate: ClassVar[float] = 2.0
    momentum: float = pydantic.Field(0.9, gt=0, lt=1)
    weight_decay: float = pydantic.Field(0.0, ge=0, le=1)

    def build(self, groups: Iterable[dict[str, Any]]) -> Any:
        import torch

        return torch.optim.SGD(list(groups), nesterov=True, **self.model_dump())


_Kind = (
    type[AdamW]
    | type[AdamW8bit]
    | type[PagedAdamW8bit]
    | type[Adafactor]
    | type[Lion]
    | type[Lion8bit]
    | type[Prodigy]
    | type[DAdaptAdam]
    | type[DAdaptLion]
    | type[AdamWScheduleFree]
    | type[RAdamScheduleFree]
    | type[SGDNesterov]
)
_KINDS: tuple[_Kind, ...] = (
    AdamW,
    AdamW8bit,
    PagedAdamW8bit,
    Adafactor,
    Lion,
    Lion8bit,
    Prodigy,
    DAdaptAdam,
    DAdaptLion,
    AdamWScheduleFree,
    RAdamScheduleFree,
    SGDNesterov,
)
OPTIMIZERS: Mapping[str, _Kind] = types.MappingProxyType({kind.__name__: kind for kind in _KINDS})
