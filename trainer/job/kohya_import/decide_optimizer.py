"""Decisions about the optimizer, the learning rate's schedule, and the settings packed into both."""

import types
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from trainer.job.fields import read_pairs, specs
from trainer.job.kohya_import import values
from trainer.job.kohya_import.rows import Case, Verdict, choice, direct, known, lack, skip, stays, take
from trainer.job.kohya_import.values import Unusable
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.words import say

NEAREST: Mapping[str, tuple[str, ...]] = types.MappingProxyType(
    {
        "dadaptation": ("DAdaptAdam", "Prodigy"),
        "dadaptadam": ("DAdaptAdam", "Prodigy"),
        "dadaptadampreprint": ("DAdaptAdam", "Prodigy"),
        "dadaptadan": ("DAdaptAdam", "Prodigy"),
        "dadaptadanip": ("DAdaptAdam", "Prodigy"),
        "dadaptadagrad": ("DAdaptAdam", "Prodigy"),
        "dadaptsgd": ("DAdaptAdam", "Prodigy"),
        "dadaptlion": ("DAdaptLion", "Prodigy"),
        "prodigyplusschedulefree": ("Prodigy",),
        "pagedadamw8bit": ("PagedAdamW8bit", "AdamW8bit"),
        "pagedadamw": ("PagedAdamW8bit", "AdamW"),
        "pagedadamw32bit": ("AdamW",),
        "adam8bit": ("AdamW8bit",),
        "ademamix8bit": ("AdamW8bit",),
        "pagedademamix8bit": ("PagedAdamW8bit", "AdamW8bit"),
        "lion8bit": ("Lion8bit", "Lion"),
        "pagedlion8bit": ("Lion8bit", "Lion"),
        "sgdnesterov8bit": ("SGDNesterov", "AdamW"),
        "sgdnesterov": ("SGDNesterov", "AdamW"),
        "radamschedulefree": ("AdamWScheduleFree", "AdamW"),
        "sgdschedulefree": ("AdamWScheduleFree", "AdamW"),
    }
)
"""What comes nearest to an optimizer that there is not, by its name in small letters."""
THEIR_DEFAULTS: Mapping[str, Mapping[str, Any]] = types.MappingProxyType(
    {
        "Prodigy": {"betas": [0.9, 0.999], "use_bias_correction": False, "safeguard_warmup": False},
        "Adafactor": {"scale_parameter": True},
        "Lion": {"weight_decay": 0.0},
        "Lion8bit": {"weight_decay": 0.0},
        "DAdaptLion": {"betas": [0.9, 0.99]},
    }
)
"""What sd-scripts leaves to an optimizer's library where ours begins with another value."""
AS_HERE: Mapping[str, Mapping[str, Any]] = types.MappingProxyType(
    {"Adafactor": {"relative_step": False, "warmup_init": False}, "DAdaptLion": {"decouple": True}}
)
"""What an optimizer does here without being asked."""
SCHEDULES: Mapping[str, tuple[str, bool]] = types.MappingProxyType(
    {
        # what it is here, and whether that is the same
        "constant_with_warmup": ("constant", True),
        "cosine_with_min_lr": ("cosine", True),
        "adafactor": ("constant", False),
        "inverse_sqrt": ("linear", False),
        "piecewise_constant": ("constant", False),
        "warmup_stable_decay": ("constant", False),
        "cosineannealinglr": ("cosine_annealing", True),
        "cosineannealingwarmrestarts": ("cosine_with_restarts", False),
        "linearlr": ("linear", False),
        "polynomiallr": ("polynomial", False),
        "constantlr": ("constant", False),
    }
)


def _wanted(case: Case) -> tuple[str, str]:
    """The key that names the optimizer, and the bare name of its class; "" without one."""
    if case.gives("optimizer"):
        return "optimizer", case.words("optimizer").rpartition(".")[2]
    if case.on("use_lion_optimizer"):
        return "use_lion_optimizer", "Lion"
    if case.gives("use_8bit_adam"):
        return "use_8bit_adam", "AdamW8bit" if case.on("use_8bit_adam") else "AdamW"
    return "optimizer", ""


def found(case: Case) -> str:
    """The optimizer of the job."""
    wanted = _wanted(case)[1]
    names = (wanted, *NEAREST.get(wanted.lower(), ()), specs()["training.optimizer"].default)
    return str(next(name for one in names if (name := choice("training.optimizer", one))))


def has_one_rate(case: Case) -> bool:
    """Whether the optimizer knows only one learning rate for everything."""
    return OPTIMIZERS[found(case)].one_learning_rate


def has_no_schedule(case: Case) -> bool:
    """Whether the optimizer averages its steps, so that its rate stays as it is."""
    return OPTIMIZERS[found(case)].averages


def optimizer(case: Case) -> Mapping[str, Verdict]:
    """The optimizer, and each of its settings."""
    key, wanted = _wanted(case)
    name = found(case)
    verdicts = {one: skip("decided_by", name=key) for one in ("optimizer", "use_8bit_adam", "use_lion_optimizer")}
    for one in ("use_8bit_adam", "use_lion_optimizer"):
        if not case.on(one):
            verdicts[one] = stays()
    to = {"training.optimizer": name}
    if not wanted:
        verdicts[key] = stays(say("kohya_was_empty"))
    else:
        verdicts[key] = take(to) if name.lower() == wanted.lower() else lack("optimizer", to, optimizer=name)
    parts = {one.name: one.value for one in case.source.given if one.name.startswith("optimizer_args.")}
    return {**verdicts, **{part: _argument(name, part.partition(".")[2], str(value)) for part, value in parts.items()}}


def _argument(name: str, argument: str, text: str) -> Verdict:
    """One of the optimizer's settings; it lies in a dict under training.optimizer_args."""
    try:
        # sd-scripts reads these as Python does: (0.9, 0.99) and [0.9, 0.99] are the same as 0.9,0.99.
        value = read_pairs(f"{argument}={text.replace(' ', '').strip('()[]').rstrip(',')}")[argument]
    except (KeyError, ValueError):
        return lack("no_such_argument", optimizer=name)
    if argument not in OPTIMIZERS[name].model_fields:
        as_here = AS_HERE.get(name, {}).get(argument)
        if as_here is None:
            return lack("no_such_argument", optimizer=name)
        return stays() if values.same(value, as_here) else lack("other_argument", optimizer=name)
    try:
        value = OPTIMIZERS[name](**{argument: value}).model_dump(mode="json")[argument]
    except (pydantic.ValidationError, TypeError):
        return Verdict("unsupported", why=say("kohya_unusable", reason=say("kohya_not_possible")))
    return take({"training.optimizer_args": {argument: value}})


def left_to_library(case: Case, given: Iterable[str]) -> Mapping[str, Any]:
    """The settings of the optimizer that the input leaves to its library, which begins with other values than ours."""
    defaults = THEIR_DEFAULTS.get(found(case), {}) if _wanted(case)[1] else {}
    return {name: value for name, value in defaults.items() if name not in set(given)}


def notes(case: Case) -> tuple[str, ...]:
    """Adafactor without relative_step=False finds its own pace at Kohya's, which is not the case here."""
    own_pace = found(case) == "Adafactor" and not any(
        one.name == "optimizer_args.relative_step" and values.same(one.value, False) for one in case.source.given
    )
    return (say("kohya_note_adafactor"),) if own_pace else ()


# ---- schedule ----


def schedule(case: Case) -> Mapping[str, Verdict]:
    """The schedule, its warm-up, and its own settings."""
    verdicts = {name: _schedule(case, name) for name in ("lr_scheduler", "lr_scheduler_type")}
    if case.gives("lr_scheduler_type") and case.gives("lr_scheduler"):
        verdicts["lr_scheduler"] = skip("decided_by", name="lr_scheduler_type")
    verdicts["lr_scheduler_num_cycles"] = _cycles(case)
    verdicts |= _warmup(case)
    if has_no_schedule(case):
        # sd-scripts follows no schedule with these either, whatever it is told.
        constant = Verdict("meaningless", {"training.schedule": "constant"}, say("kohya_schedule_free"))
        verdicts = {name: constant if case.gives(name) else stays() for name in verdicts}
    for one in case.source.given:
        if one.name.startswith("lr_scheduler_args."):
            verdicts[one.name] = _schedule_argument(case, one.name.partition(".")[2], one.value)
    return verdicts


def _schedule(case: Case, key: str) -> Verdict:
    name = case.words(key)
    if not name:
        return stays(say("kohya_was_empty"))
    bare = name.rpartition(".")[2].partition(":")[0].lower()
    nearest, exact = SCHEDULES.get(bare, ("cosine", False))
    same = choice("training.schedule", bare)
    to: dict[str, Any] = {"training.schedule": same or nearest}
    if to["training.schedule"] == "cosine_annealing" and not _gives_floor(case):
        to["training.schedule_min_ratio"] = 0.0
    return take(to) if same or exact else lack("schedule", to, schedule=nearest)


def _gives_floor(case: Case) -> bool:
    return any(one.name in ("lr_scheduler_args.eta_min", "lr_scheduler_args.min_lr_rate") for one in case.source.given)


def _cycles(case: Case) -> Verdict:
    restarts = "restarts" in f"{case.words('lr_scheduler')}{case.words('lr_scheduler_type')}".lower()
    if not case.gives("lr_scheduler_num_cycles") and restarts and case.source.kind == "gui" and case.number("epoch"):
        return take({"training.schedule_cycles": int(case.number("epoch") or 1)}, say("kohya_cycles_are_epochs"))
    return direct("training.schedule_cycles", case.raw("lr_scheduler_num_cycles"))


def _schedule_argument(case: Case, name: str, value: Any) -> Verdict:
    path = "training.schedule_min_ratio"
    try:
        number = values.number(value)
    except Unusable:
        return lack("plain")
    rate = case.number("unet_lr") or case.number("learning_rate") or 0
    if name == "T_max":
        return direct("training.schedule_period_steps", value)
    if name in ("min_lr", "eta_min", "min_lr_rate"):
        ratio = number if name == "min_lr_rate" else number / rate if rate else 0.0
        return direct(path, ratio, off=(0,))
    return lack("plain")


def _warmup(case: Case) -> dict[str, Verdict]:
    steps, percent = case.number("lr_warmup_steps"), case.number("lr_warmup")
    found = {name: direct("training.warmup_percent", case.raw(name)) for name in ("lr_warmup", "lr_warmup_steps")}
    if steps and steps > 0:
        found["lr_warmup_steps"] = _warmup_steps(case, steps)
        if percent:
            found["lr_warmup"] = skip("decided_by", name="lr_warmup_steps")
    elif steps is not None and percent:
        found["lr_warmup_steps"] = stays(say("kohya_not_this"))
    if case.words("lr_scheduler").lower().startswith("adafactor") and percent:
        found["lr_warmup"] = skip("decided_by", name="lr_scheduler")
    return found


def _warmup_steps(case: Case, steps: float) -> Verdict:
    """A fraction is a share of all steps, a whole number counts steps."""
    percent, path = "training.warmup_percent", "training.warmup_steps"
    if steps < 1 or (steps == 1 and "." in str(case.raw("lr_warmup_steps"))):
        return direct(percent, steps * 100)
    if known(path):
        return direct(path, steps)
    total = case.number("max_train_steps") if not case.number("max_train_epochs") else None
    if not total or steps > total:
        return lack("warmup_in_steps")
    return direct(percent, round(100 * steps / total, 4))
