"""From the keys of an input to a job and to what is said about every key."""

import dataclasses
import functools
import types
from collections.abc import Iterable, Mapping
from typing import Any

from trainer.job import fields
from trainer.job.facts import capabilities
from trainer.job.fields import Invalid
from trainer.job.kohya_import import (
    decide_adapter,
    decide_blocks,
    decide_data,
    decide_model,
    decide_optimizer,
    decide_output,
    decide_training,
    values,
)
from trainer.job.kohya_import.read import PACKED, Given, Source
from trainer.job.kohya_import.rows import PURPOSE, Case, Decision, Row, Verdict, direct, known, lack, skip, stays
from trainer.job.kohya_import.table_families import FAMILY_KEYS
from trainer.job.kohya_import.table_others import LACKING, MEANINGLESS
from trainer.job.kohya_import.table_settings import SETTINGS
from trainer.job.kohya_import.values import Unusable
from trainer.job.settings import Job
from trainer.job.words import say

DECISIONS: Mapping[str, Decision] = types.MappingProxyType(
    {
        "model": decide_model.decide,
        "adapter": decide_adapter.decide,
        "blocks": decide_blocks.blocks,
        "plus": decide_blocks.plus,
        "files": decide_blocks.files,
        "length": decide_training.length,
        "rates": decide_training.rates,
        "noise": decide_training.noise,
        "precision": decide_training.precision,
        "optimizer": decide_optimizer.optimizer,
        "schedule": decide_optimizer.schedule,
        "data": decide_data.decide,
        "samples": decide_output.samples,
        "output": decide_output.output,
    }
)
SCRIPTS_DEFAULTS: Mapping[str, Any] = types.MappingProxyType(
    {
        "adapter.rank": 4,
        "adapter.alpha": 1.0,
        "training.schedule": "constant",
        "output.name": "last",
        "output.save_every_epochs": 0,
    }
)
"""What sd-scripts does where a command or config file says nothing and ours begins with another value."""
GUI_DEFAULTS: Mapping[str, tuple[str, Any]] = types.MappingProxyType(
    {
        "network_dim": ("adapter.rank", 8),
        "network_alpha": ("adapter.alpha", 1.0),
        "conv_dim": ("adapter.conv_rank", 1),
        "conv_alpha": ("adapter.conv_alpha", 1.0),
        "optimizer": ("training.optimizer", "AdamW8bit"),
        "lr_warmup": ("training.warmup_percent", 10.0),
        "mixed_precision": ("training.precision", "fp16"),
    }
)
"""What the LoRA tab of Kohya's GUI shows where a preset lacks a key and ours begins with another value."""
_MOST_NAMES = 20
DATASET_DEFAULTS: Mapping[str, Any] = types.MappingProxyType(
    {"dataset.buckets": False, "dataset.upscale": True, "dataset.bucket_max_px": 1024, "dataset.cache_to_disk": False}
)


@dataclasses.dataclass(frozen=True)
class Line:
    """What is said about one key; `within` is the key that holds it."""

    key: str
    value: str
    verdict: Verdict
    within: str = ""


@dataclasses.dataclass(frozen=True)
class Import:
    """A job, a line for every key of the input, and what was taken to be meant where it says nothing."""

    source: Source
    job: Job
    purpose: str
    lines: tuple[Line, ...]
    assumed: Mapping[str, Any]
    notes: tuple[str, ...]

    def under(self, heading: str) -> list[Line]:
        """The lines of a heading in the order of the input."""
        return [line for line in self.lines if line.verdict.heading == heading]


@functools.cache
def rows() -> Mapping[str, Row]:
    """Every row by each of its names in small letters."""
    every = (*SETTINGS, *MEANINGLESS, *LACKING, *FAMILY_KEYS)
    return types.MappingProxyType({name.lower(): row for row in every for name in row.names.split()})


def convert(source: Source) -> Import:
    """The job that `source` asks for, as far as it can be had here."""
    case = Case(source, rows())
    decided: dict[str, Verdict] = {}
    for decision in DECISIONS.values():
        decided.update(decision(case))
    kinds = decide_model.kinds(case)
    verdicts = [_verdict(one, case, decided, kinds) for one in source.given]
    assumed = _assumed(case, verdicts)
    wanted = merged([*assumed, *(verdict.to for verdict in verdicts)])
    purpose = str(wanted.pop(PURPOSE, ""))
    job, refused = settled(wanted)
    checked = [_checked(verdict, job, refused) for verdict in verdicts]
    lines = [
        Line(one.key, values.shown(one.value), verdict, one.within)
        for one, verdict in zip(source.given, checked, strict=True)
    ]
    return Import(source, job, purpose, tuple(_with_packed(lines)), _kept(merged(assumed), job), _notes(case))


# ---- one key ----


def _verdict(one: Given, case: Case, decided: Mapping[str, Verdict], kinds: frozenset[str]) -> Verdict:
    """What becomes of one key."""
    row = rows().get(one.name.lower())
    if one.name.startswith("launch."):
        return skip("launch_precision" if one.name == "launch.mixed_precision" else "accelerate")
    if values.is_secret(one.name):
        return skip("access_key")
    if row is None:
        return decided.get(one.name) or lack("unknown_key")
    if one.name in PACKED:
        return stays() if values.is_empty(one.value) else lack("unread_packed")
    counting = case.counting.get(row.name)
    if counting is not None and counting is not one:
        return _beaten(one, counting, case)
    if counting is None:
        return lack("only_first")
    if row.only and not kinds & set(row.only.split()) and not values.is_off(one.value, row.off):
        return skip("only_for", kinds=decide_model.labels(row.only))
    if row.by:
        return decided.get(row.name) or (stays(_off(one.value)) if values.is_empty(one.value) else lack("plain"))
    return _by_row(row, one.value)


def _beaten(one: Given, other: Given, case: Case) -> Verdict:
    """The verdict on a key where `other` of the same meaning counts."""
    if values.is_empty(one.value):
        return stays(say("kohya_was_empty"))
    if one.spare:
        return decide_data.spare(one, other, case)
    return skip("decided_by", name=f"{other.within}: {other.key}" if other.within else other.key)


def _by_row(row: Row, value: Any) -> Verdict:
    if row.to:
        return _setting(row, value)
    if not row.lacks:
        return skip(row.why)
    return stays(_off(value)) if values.is_off(value, row.off) else lack(row.why)


def _setting(row: Row, value: Any) -> Verdict:
    if row.turn is not None and not values.is_empty(value):
        try:
            value = row.turn(value)
        except Unusable as error:
            return Verdict("unsupported", why=say("kohya_unusable", reason=error))
    verdict = direct(row.to, value, row.off, row.why)
    # A limit that a value meaning "off" does not keep to says that off is called something else here.
    return stays(say("kohya_off")) if verdict.heading == "unsupported" and values.is_off(value, row.off) else verdict


def _off(value: Any) -> str:
    return say("kohya_was_empty" if values.is_empty(value) else "kohya_off")


def _with_packed(lines: list[Line]) -> list[Line]:
    """The lines, those of keys that hold others standing under the heading that says most of what they hold."""
    held: dict[str, list[Line]] = {}
    found: list[Line] = []
    # What is held stands behind what holds it, so that the other way round the innermost comes first.
    for line in reversed(lines):
        place = f"{line.within}: {line.key}" if line.within else line.key
        if place in held:
            line = dataclasses.replace(line, verdict=_packed(held[place]), value=_listed(held[place]))
        if line.within:
            held.setdefault(line.within, []).insert(0, line)
        found.append(line)
    return found[::-1]


def _packed(held: list[Line]) -> Verdict:
    headings = [line.verdict.heading for line in held]
    lacking = [line.key for line in held if line.verdict.heading == "unsupported"]
    if lacking:
        return lack("packed_lacks", names=", ".join([*lacking[:_MOST_NAMES], *["…"][: len(lacking) > _MOST_NAMES]]))
    to = merged(line.verdict.to for line in held)
    heading = next((one for one in ("taken", "default", "meaningless") if one in headings), "default")
    return Verdict(heading, to if heading == "taken" else {}, say("kohya_packed"))  # type: ignore[arg-type]


def _listed(held: list[Line]) -> str:
    return values.shown(" ".join(f"{line.key}={line.value}" for line in held))


# ---- all keys together ----


def merged(all_values: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """All values by path, later ones winning; the settings of an optimizer are put together."""
    found: dict[str, Any] = {}
    for some in all_values:
        for path, value in some.items():
            found[path] = {**found.get(path, {}), **value} if isinstance(value, dict) else value
    return found


def settled(wanted: Mapping[str, Any]) -> tuple[Job, dict[str, str]]:
    """A job with as many of the values as make one, and why each of the others could not be taken."""
    left = {path: value for path, value in wanted.items() if known(path)}
    refused: dict[str, str] = {}
    while True:
        try:
            return fields.parse(fields.nest(left)), refused
        except Invalid as error:
            wrong = {message.path: message.text for message in error.messages}
        for path in wrong.keys() & left.keys() or _at_fault(left, wrong):
            refused[path] = wrong.get(path, next(iter(wrong.values())))
            del left[path]


def _at_fault(left: Mapping[str, Any], wrong: Mapping[str, str]) -> list[str]:
    """What makes the trouble where a check across settings speaks at one that was not given.

    That without which it is not said any more; failing that, all of its section.
    """
    sections = {path.partition(".")[0] for path in wrong}
    suspects = [path for path in left if path.partition(".")[0] in sections] or list(left)
    for path in suspects:
        try:
            fields.parse(fields.nest({other: value for other, value in left.items() if other != path}))
        except Invalid as error:
            if wrong.keys() & {message.path for message in error.messages}:
                continue
        return [path]
    return suspects


def _checked(verdict: Verdict, job: Job, refused: Mapping[str, str]) -> Verdict:
    """The verdict as it has turned out: what is already the default is called so, what was refused too."""
    wrong = [path for path in verdict.to if path in refused or (path != PURPOSE and not known(path))]
    if wrong:
        reason = say("kohya_unusable", reason=refused[wrong[0]]) if wrong[0] in refused else say("kohya_no_setting")
        kept = {path: value for path, value in verdict.to.items() if path not in wrong}
        return Verdict("unsupported", kept, reason)
    if verdict.heading == "taken" and verdict.to and PURPOSE not in verdict.to:
        flat, defaults = fields.flatten(job), fields.specs()
        to = {path: flat[path] if not isinstance(value, dict) else value for path, value in verdict.to.items()}
        if all(_is_default(path, value, defaults) for path, value in to.items()):
            return Verdict("default", to, verdict.why)
        if not any(_acts(defaults[path], job) for path in to):
            return Verdict("meaningless", to, say("kohya_hidden"))
        return Verdict("taken", to, verdict.why)
    return verdict


def _acts(spec: fields.Spec, job: Job) -> bool:
    return not spec.needs or spec.needs in capabilities(job.model.family, job.adapter.type)


def _is_default(path: str, value: Any, defaults: Mapping[str, fields.Spec]) -> bool:
    return bool(value == defaults[path].default)


def _assumed(case: Case, verdicts: Iterable[Verdict]) -> list[Mapping[str, Any]]:
    """What Kohya's programs do where the input says nothing, as far as ours begins with something else."""
    found: list[Mapping[str, Any]] = []
    given = merged(verdict.to for verdict in verdicts)
    if case.source.kind == "gui" and case.gives("LoRA_type"):
        found.append(_gui_defaults(case, given))
    if case.source.kind == "scripts":
        found.append({**SCRIPTS_DEFAULTS, **_scripts_length(given), **_scripts_rates(case, given)})
    if case.source.kind != "gui":
        found.append(DATASET_DEFAULTS)
    found.append({f"model.{name}": base for name, base in decide_model.usual_base(case).items()})
    found.append(_one_rate(case, given))
    if decide_optimizer.has_no_schedule(case):
        found.append({"training.schedule": "constant"})
    arguments = decide_optimizer.left_to_library(case, given.get("training.optimizer_args", ()))
    left: list[Mapping[str, Any]] = [
        {path: value for path, value in some.items() if path not in given} for some in found
    ]
    return [*left, {"training.optimizer_args": arguments}] if arguments else left


def _one_rate(case: Case, given: Mapping[str, Any]) -> dict[str, Any]:
    """The text encoder's rate for an optimizer that knows only one."""
    if not decide_optimizer.has_one_rate(case) or given.get("training.text_encoder") is False:
        return {}
    rate = "training.learning_rate"
    return {"training.text_encoder_learning_rate": given.get(rate, fields.specs()[rate].default)}


def _gui_defaults(case: Case, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the GUI shows where keys are absent; an empty one was emptied by somebody."""
    absent = {name: both for name, both in GUI_DEFAULTS.items() if name not in case.counting}
    if not decide_adapter.kind(case).has_convolutions:
        absent = {name: both for name, both in absent.items() if not name.startswith("conv_")}
    if case.gives("lr_warmup_steps"):
        absent.pop("lr_warmup", None)
    if "use_8bit_adam" in case.counting or "use_lion_optimizer" in case.counting:
        absent.pop("optimizer", None)
    length = {} if case.gives("epoch") or "max_train_steps" in case.counting else {"training.epochs": 0}
    if length and "training.epochs" not in given:
        length["training.steps"] = 1600
    return dict(absent.values()) | (length if "training.steps" in length else {})


def _scripts_length(given: Mapping[str, Any]) -> dict[str, Any]:
    return {} if "training.epochs" in given else {"training.epochs": 0, "training.steps": 1600}


def _scripts_rates(case: Case, given: Mapping[str, Any]) -> dict[str, Any]:
    rate = given.get("training.learning_rate", case.number("learning_rate") or 2e-6)
    if given.get("training.text_encoder") is False:
        return {"training.learning_rate": rate}
    return {"training.learning_rate": rate, "training.text_encoder_learning_rate": rate}


def _kept(assumed: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
    """Of what was assumed, what the job has and is not the default."""
    flat, defaults = fields.flatten(job), fields.specs()
    found = {}
    for path, value in assumed.items():
        holds = value.items() <= flat[path].items() and value if isinstance(value, dict) else flat[path] == value
        if holds and value != defaults[path].default:
            found[path] = value
    return found


def _notes(case: Case) -> tuple[str, ...]:
    if not case.counting:
        return (*case.source.notes, say("kohya_note_nothing_known"))
    said = (decide_model.notes(case), decide_data.notes(case), decide_optimizer.notes(case))
    return (*case.source.notes, *(note for some in said for note in some))
