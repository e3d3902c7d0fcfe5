"""What the tables are made of, and what is decided about a key: under which heading it stands and what it becomes."""

import dataclasses
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from trainer.job import fields
from trainer.job.kohya_import import values
from trainer.job.kohya_import.read import Given, Source
from trainer.job.kohya_import.values import Unusable
from trainer.job.words import say

Heading = Literal["taken", "default", "meaningless", "unsupported"]
PURPOSE = "purpose"
"""Where a comment goes: it is no setting, but a preset has it."""
_FIRST = "additional_parameters"
_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Row:
    """One of Kohya's keys: `names` in all generations and in sd-scripts, apart by spaces, the GUI's of today first.

    `to` is the setting it becomes, through `turn` where it is not the same value. `off` are values that ask for
    nothing beyond what happens here anyway. `why` is the sentence kohya_<why>: for a key with `to` or `lacks`, what
    happens instead; else why it means nothing here. `by` is the decision (decide_*.py) that looks at several keys at
    once. `only` are the kinds of adapter or family to which it belongs.
    """

    names: str
    to: str = ""
    why: str = ""
    off: tuple[Any, ...] = ()
    lacks: bool = False
    by: str = ""
    only: str = ""
    turn: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        return self.names.split()[0]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The heading of a key, the values that it sets by path (for an unsupported one: instead), and a sentence."""

    heading: Heading
    to: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    why: str = ""


def take(to: Mapping[str, Any], why: str = "") -> Verdict:
    """The key is taken over."""
    return Verdict("taken", to, why)


def stays(why: str = "", to: Mapping[str, Any] = _NOTHING) -> Verdict:
    """The key asks for what happens here anyway."""
    return Verdict("default", to, why)


def skip(why: str, **about: object) -> Verdict:
    """The key means nothing here; `why` is the sentence kohya_<why>."""
    return Verdict("meaningless", why=say(f"kohya_{why}", **about))


def lack(why: str, to: Mapping[str, Any] = _NOTHING, **about: object) -> Verdict:
    """The key is not supported; `to` is used instead."""
    return Verdict("unsupported", to, say(f"kohya_{why}", **about))


def known(path: str) -> bool:
    """Whether this version of the program has the setting."""
    return path == PURPOSE or path in fields.specs()


def choice(path: str, wanted: str) -> str | None:
    """The choice of `path` called `wanted` in any case; None when there is none."""
    found = fields.specs()[path].choices if path in fields.specs() else ()
    return next((name for name in found if name.lower() == wanted.lower()), None)


def fitted(path: str, value: Any) -> tuple[Any, str]:
    """`value` in the kind that `path` has and within its limits, and a sentence where it had to be changed.

    Raises Unusable.
    """
    if path == PURPOSE:
        return values.text(value), ""
    spec = fields.specs()[path]
    if spec.kind == "choice":
        named = choice(path, values.text(value))
        if named is None:
            raise Unusable(say("kohya_not_a_choice", choices=", ".join(spec.choices)))
        return named, ""
    if spec.kind == "switch":
        return values.switch(value), ""
    if spec.kind == "text":
        return values.text(value), ""
    if spec.kind not in ("whole", "number"):
        return value, ""
    wanted = values.number(value)
    found = max(spec.minimum if spec.minimum is not None else wanted, min(wanted, _most(spec.maximum, wanted)))
    if spec.kind == "whole":
        found = int(found)
    return found, "" if found == wanted else say("kohya_limit", value=found)


def _most(limit: float | None, wanted: float) -> float:
    return wanted if limit is None else limit


def direct(path: str, value: Any, off: Iterable[Any] = (), why: str = "") -> Verdict:
    """What becomes of a key that is one setting."""
    if values.is_empty(value):
        return stays(say("kohya_was_empty"))
    if not known(path):
        return stays(say("kohya_off")) if values.is_off(value, off) else lack(why or "no_setting")
    try:
        found, changed = fitted(path, value)
    except Unusable as error:
        return Verdict("unsupported", why=say("kohya_unusable", reason=error))
    return Verdict("unsupported", {path: found}, changed) if changed else take({path: found})


class Case:
    """The whole input, as decisions ask about it."""

    def __init__(self, source: Source, rows: Mapping[str, Row]) -> None:
        self.source = source
        self.counting: dict[str, Given] = {}
        self.subset_folders = {
            one.key.rpartition(".")[0]: str(one.value) for one in source.given if one.name == "image_dir"
        }
        for one in sorted((one for one in source.given if not one.spare), key=_weight):
            row = rows.get(one.name.lower())
            if row is not None and (not values.is_empty(one.value) or row.name not in self.counting):
                self.counting[row.name] = one

    def raw(self, name: str) -> Any:
        """The value that counts for the row `name`; None where it is not given."""
        one = self.counting.get(name)
        return None if one is None else one.value

    def gives(self, name: str) -> bool:
        """Whether the row `name` has a value, and be it 0."""
        return not values.is_empty(self.raw(name))

    def number(self, name: str) -> float | None:
        """The number that is given; None without a usable one."""
        try:
            return values.number(self.raw(name)) if self.gives(name) else None
        except Unusable:
            return None

    def on(self, name: str) -> bool:
        """Whether the switch is given and on."""
        try:
            return self.gives(name) and values.switch(self.raw(name))
        except Unusable:
            return False

    def words(self, name: str) -> str:
        """The text that is given, "" without one."""
        try:
            return values.text(self.raw(name)) if self.gives(name) else ""
        except Unusable:
            return ""


def _weight(one: Given) -> bool:
    # These flags stand behind all others in the command that Kohya's GUI puts together.
    return one.within.startswith(_FIRST)


Decision = Callable[[Case], Mapping[str, Verdict]]
"""The verdicts on a group of keys, by the name of their row."""
