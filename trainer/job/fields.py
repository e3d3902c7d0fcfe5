"""Walks `Job`: one `Spec` per setting, flat ⇄ nested values, messages in plain words, `--set`, the docs' table.

A *path* is `section.name`, the same in a file, on the command line, in a form and in a message.
"""

import dataclasses
import difflib
import functools
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import annotated_types
import pydantic
from pydantic.fields import FieldInfo

from trainer.job.sentences import sentence
from trainer.job.settings import Job, OneOf
from trainer.job.words import say

Kind = Literal["whole", "number", "switch", "text", "choice", "lines", "numbers", "pairs"]

LONGEST_PATH = 80
MOST_UNKNOWN = 20
"""Of more settings that there are not, only the number is told."""
MOST_MESSAGES = 500
MOST_CHARACTERS = 256 * 1024
"""So many may all settings have together: their files stay small enough to be read again."""


@dataclasses.dataclass(frozen=True)
class Spec:
    """All that is known of one setting. `minimum` and `maximum` are None where there is no bound.

    `longest` is the most characters of a text, 0 for any number.
    """

    path: str
    title: str
    help: str
    kind: Kind
    default: Any
    unit: str = ""
    level: str = "basic"
    needs: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    longest: int = 0

    @property
    def section(self) -> str:
        return self.path.partition(".")[0]


@dataclasses.dataclass(frozen=True)
class Message:
    """One thing wrong with a job, in one sentence; `path` is the setting to show it at ("" when it is none)."""

    path: str
    text: str


class Invalid(ValueError):
    """Values that make no job; `messages` says all that is wrong with them."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.messages = tuple(messages)
        super().__init__("\n".join(message.text for message in self.messages))


@functools.cache
def specs() -> Mapping[str, Spec]:
    """Every setting by path, in the order of declaration."""
    found = {}
    for section, section_field in Job.model_fields.items():
        model = section_field.annotation
        if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
            for name, field in model.model_fields.items():
                found[f"{section}.{name}"] = _spec(f"{section}.{name}", field)
    return types.MappingProxyType(found)


def _spec(path: str, field: FieldInfo) -> Spec:
    low, high = _bounds(field.metadata)
    choices = next((rule.choices for rule in field.metadata if isinstance(rule, OneOf)), ())
    kind: Kind = "choice" if choices else _kind(field.annotation)
    extra = typing.cast(dict[str, str], field.json_schema_extra)
    words = (path, str(field.title), str(field.description))
    longest = next((rule.max_length for rule in field.metadata if isinstance(rule, annotated_types.MaxLen)), 0)
    return Spec(*words, kind, field.default, choices=choices, minimum=low, maximum=high, longest=longest, **extra)


def _kind(annotation: Any) -> Kind:
    if typing.get_origin(annotation) is list and typing.get_args(annotation) != (str,):
        return "numbers"
    return _KINDS[typing.get_origin(annotation) or annotation]


_KINDS: Mapping[Any, Kind] = types.MappingProxyType(
    {bool: "switch", int: "whole", float: "number", str: "text", list: "lines", dict: "pairs"}
)


def _bounds(rules: Iterable[Any]) -> tuple[float | None, float | None]:
    low = high = None
    for rule in rules:
        if isinstance(rule, annotated_types.Ge | annotated_types.Gt):
            low = getattr(rule, "ge", getattr(rule, "gt", None))
        if isinstance(rule, annotated_types.Le | annotated_types.Lt):
            high = getattr(rule, "le", getattr(rule, "lt", None))
    return typing.cast(tuple[float | None, float | None], (low, high))


def flatten(job: Job) -> dict[str, Any]:
    """The value of every setting by path."""
    return {path: getattr(getattr(job, path.partition(".")[0]), path.partition(".")[2]) for path in specs()}


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        section, _, name = path.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def parse(data: Mapping[str, Any]) -> Job:
    """The job that nested `data` describes. Raises Invalid with every message at its setting."""
    try:
        job = Job.model_validate(data)
    except pydantic.ValidationError as error:
        raise Invalid(messages(error)) from error
    long = {path: len(str(value)) for path, value in flatten(job).items()}
    if sum(long.values()) > MOST_CHARACTERS:
        longest = max(long, key=lambda path: long[path])
        limit = f"{MOST_CHARACTERS:,}"
        raise Invalid([Message(longest, say("settings_long", title=specs()[longest].title, limit=limit))])
    return job


def unknown_paths(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The paths in nested `data` that are no settings."""
    known_sections = set(Job.model_fields)
    found = [key for key in data if key not in known_sections]
    for section, values in data.items():
        if section in known_sections and isinstance(values, dict):
            found += [f"{section}.{name}" for name in values if f"{section}.{name}" not in specs()]
    return tuple(found)


def unknown_message(path: str) -> Message:
    """The sentence for a path that is no setting, with the nearest real one."""
    near = (
        # To compare takes as long as both are, times each other: nobody has mistyped thousands of letters.
        difflib.get_close_matches(path[:LONGEST_PATH], specs(), n=1)
        or [p for p in specs() if p.endswith("." + path.rpartition(".")[2])][:1]
    )
    return Message(
        path, say("unknown_setting", path=path or '""', hint=say("did_you_mean", path=near[0]) if near else "")
    )


def unknown_messages(paths: Sequence[str]) -> tuple[Message, ...]:
    """A sentence for each of the first paths that are no settings, and one that counts the others."""
    more = len(paths) - MOST_UNKNOWN
    rest = [Message("", say("unknown_more", count=more))] if more > 0 else []
    return (*map(unknown_message, paths[:MOST_UNKNOWN]), *rest)


def messages(error: pydantic.ValidationError) -> tuple[Message, ...]:
    """Every error of `error` as a sentence at its setting, without repetition; of thousands, the first ones."""
    all_details = error.errors(include_url=False, include_input=False)
    unknown = [_path(details) for details in all_details if details["type"] == "extra_forbidden"]
    others = [details for details in all_details if details["type"] != "extra_forbidden"]
    found = dict.fromkeys([*map(_message, others[:MOST_MESSAGES]), *unknown_messages(unknown)])
    return tuple(found)


def _path(details: Any) -> str:
    return ".".join(str(part) for part in details["loc"][:2])


def _message(details: Any) -> Message:
    context = details.get("ctx", {})
    path = _path(details)
    if details["type"] == "fault":
        return Message(".".join(filter(None, (path, context["field"]))), context["text"])
    return Message(path, sentence(details, specs()[path].title if path in specs() else path))


def with_sets(data: Mapping[str, Any], sets: Iterable[str]) -> dict[str, Any]:
    """Nested `data` with each `path=value` of `sets` put in; a value is read as JSON where it is JSON, else as text.

    Epochs and steps exclude each other, so setting one on top of a file sets the other to 0. Raises Invalid.
    """
    given: dict[str, Any] = {}
    for text in sets:
        path, equals, value = text.partition("=")
        if not equals:
            raise Invalid([Message("", say("bad_set", text=text))])
        if path not in specs():
            raise Invalid([unknown_message(path)])
        given[path] = read_value(value, specs()[path].kind)
    for one, other in (("training.steps", "training.epochs"), ("training.epochs", "training.steps")):
        if given.get(one) and other not in given:
            given[other] = 0
    merged = {section: dict(values) if isinstance(values, dict) else values for section, values in data.items()}
    for section, values in nest(given).items():
        merged[section] = {**merged.get(section, {}), **values}
    return merged


def read_value(text: str, kind: Kind) -> Any:
    """`text` as typed by a person, as a value for a setting of this kind; what cannot be read stays text."""
    if kind in ("text", "choice"):
        return text
    if kind == "pairs" and not text.lstrip().startswith("{"):
        return read_pairs(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # also for a number of thousands of digits, or nested as deep
        return text


def read_pairs(text: str) -> dict[str, Any]:
    """`weight_decay=0.1 betas=0.9,0.99` as a dict, as Kohya's users write it."""
    pairs = {}
    for part in text.split():
        name, _, value = part.partition("=")
        values = [read_value(item.strip(), "number") for item in value.split(",")]
        pairs[name] = {"True": True, "False": False}.get(value, values[0] if len(values) == 1 else values)
    return pairs


def write_pairs(pairs: Mapping[str, Any]) -> str:
    """The inverse of `read_pairs`."""
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}" for name, value in pairs.items()
    )


def settings_table() -> str:
    """The table of all settings as Markdown, one section after the other."""
    lines: list[str] = []
    for section in dict.fromkeys(spec.section for spec in specs().values()):
        lines += [f"**{section}**", "", "| setting | what it does | default | range |", "|---|---|---|---|"]
        for spec in specs().values():
            if spec.section == section:
                lines.append(
                    f"| `{spec.path}`<br>{spec.title} | {spec.help} "
                    f"| {_shown(spec.default, spec.unit)} | {_range(spec)} |"
                )
        lines.append("")
    return "\n".join(lines)


def _shown(value: Any, unit: str = "") -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value or "(empty)"
    return f"{text} {unit}".strip()


def _range(spec: Spec) -> str:
    if spec.choices:
        return " · ".join(spec.choices)
    bounds = [
        f"{word} {value:g}" for word, value in (("from", spec.minimum), ("to", spec.maximum)) if value is not None
    ]
    return " ".join(bounds)
