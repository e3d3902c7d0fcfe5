"""Any of Kohya's files, or a pasted command, as a flat list of keys with values, in the order in which they count.

What stands later counts more: sd-scripts lets a flag win over its config file, and a subset over the rest.
"""

import codecs
import dataclasses
import pathlib
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from trainer.job.fields import Invalid, Message
from trainer.job.kohya_import import command, loose_json, values
from trainer.job.settings import Job
from trainer.job.words import say

MAX_BYTES = 2**20
MAX_KEYS = 10_000
"""Kohya's own files have some hundreds of keys in some ten thousand bytes."""
_LONGEST_COMMAND = 100_000
_MOST_DOTS = 50
_ENDINGS = (".toml", ".json", ".txt")
_BINARY = re.compile(r"[\x00-\x06\x0e-\x1a]")
_ASIDE = frozenset({"wd14_caption"})
"""What Kohya's GUI begins with where it does not train stands in its own config file too, under like names."""
_TRAINS = re.compile(r"(?:train|tune)[\w-]*\.py$")
_MOST_GARBLED = 4
"""A text of which more than one in so many characters cannot be read is no text."""
PACKED = ("additional_parameters", "network_args", "optimizer_args", "lr_scheduler_args")
GUI_ONLY = frozenset({"lora_type", "max_resolution", "lr_warmup", "model_list", "optimizer", "training_comment"})
_REG = {"image_dir": "reg_image_dir", "num_repeats": "reg_num_repeats"}

Kind = Literal["gui", "scripts", "dataset"]


@dataclasses.dataclass(frozen=True)
class Given:
    """One key of the input. `name` is what its meaning is looked up by; `within` is the key that holds it, "" if none.

    `spare` marks keys of a second data set or subset, of which only the first can count.
    """

    key: str
    value: Any
    name: str
    within: str = ""
    spare: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """All keys of an input, what it is called, and sentences about it as a whole."""

    title: str
    kind: Kind
    given: tuple[Given, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return sum(not one.within for one in self.given)


def refusal(key: str, **about: object) -> Invalid:
    """One sentence why there is nothing to import."""
    return Invalid([Message("", say(key, **about))])


def read(content: bytes, title: str, folders: Sequence[pathlib.Path] = ()) -> Source:
    """The keys in `content`, together with those of the files beside it that it names (looked for in `folders`).

    Raises Invalid with one sentence when there is nothing of Kohya's in it.
    """
    written, garbled = _decoded(content, title)
    source = _parsed(written, title)
    if garbled:
        source = dataclasses.replace(source, notes=(*source.notes, say("kohya_note_garbled", count=garbled)))
    if len(source.given) > MAX_KEYS:
        raise refusal("kohya_too_many", name=title, limit=f"{MAX_KEYS:,}")
    source = dataclasses.replace(source, given=tuple(_clean(source.given)))
    for key, reader in COMPANIONS.items():
        path = _companion(source, key, folders)
        if path is not None:
            source = reader(source, path)
    if not source.given:
        raise refusal("kohya_nothing", name=title)
    if len(source.given) > MAX_KEYS:
        raise refusal("kohya_too_many", name=title, limit=f"{MAX_KEYS:,}")
    return source


def with_dataset(source: Source, content: bytes, title: str) -> Source:
    """`source` and the keys of the dataset_config in `content`, which win. Raises Invalid when it is none."""
    other = read(content, title)
    if other.kind != "dataset":
        raise refusal("kohya_no_dataset_config", name=title)
    return dataclasses.replace(source, given=(*source.given, *other.given))


# ---- from bytes to values ----


def _decoded(content: bytes, title: str) -> tuple[str, int]:
    """The text, and how many of its characters could not be read because it is in a code page of an older Windows."""
    if len(content) > MAX_BYTES:
        raise refusal("kohya_too_large", name=title, limit=MAX_BYTES // 2**20)
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    garbled = 0
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("utf-8-sig", "replace")
        garbled = text.count("\ufffd")
    if _BINARY.search(text) or garbled * _MOST_GARBLED > len(text):
        raise refusal("kohya_not_text_file", name=title)
    if not text.strip():
        raise refusal("kohya_empty", name=title)
    return text, garbled


def _parsed(text: str, title: str) -> Source:
    """The keys of a JSON file, else a TOML file, else a command."""
    try:
        data, doubled = loose_json.loads(text)
        notes = [say("kohya_note_doubled", names=", ".join(doubled))] if doubled else []
        return dataclasses.replace(_from_values(data, title), notes=tuple(notes))
    except RecursionError:
        raise refusal("kohya_too_deep", name=title) from None
    except ValueError as error:
        _raise_own(error)
        if text.lstrip()[0] in '{["' and not _looks_like_toml(text):
            raise refusal("kohya_not_json", name=title, reason=error) from None
    try:
        return _from_values(_toml(text), title, sections=True)
    except (ValueError, RecursionError) as error:
        _raise_own(error)
    if not command.is_command(text):
        raise refusal("kohya_not_known", name=title)
    return _from_command(text, title)


def _toml(text: str) -> dict[str, Any]:
    """The keys of a TOML file. Raises ValueError."""
    # The time to read a key grows with the square of its parts.
    if any(words.count(".") > _MOST_DOTS for words in re.split(r"[^\w.\"' \t-]+", text)):
        raise ValueError(text)
    return tomllib.loads(text)


def _raise_own(error: Exception) -> None:
    """Lets through what is a sentence already; it is a ValueError like those of the readers."""
    if isinstance(error, Invalid):
        raise error


def _looks_like_toml(text: str) -> bool:
    """Whether what begins with a bracket is a TOML table's heading, not a JSON list."""
    return bool(re.match(r"\s*\[\[?\s*[\w.\"'-]+\s*\]\]?\s*(?:#.*)?(?:\n|$)", text))


# ---- from values to keys ----


def _from_values(data: Any, title: str, *, sections: bool = False) -> Source:
    if not isinstance(data, dict):
        raise refusal("kohya_no_keys", name=title)
    if any(isinstance(data.get(section), dict) for section in Job.model_fields) and "version" in data:
        raise refusal("kohya_ours", name=title)
    if isinstance(data.get("datasets"), list):
        return Source(title, "dataset", tuple(_dataset_keys(data)))
    given = tuple(_keys(data, sections=sections))
    # A config file that the GUI wrote is no different from any other of sd-scripts; a JSON file is the GUI's.
    gui = not sections or any(one.name.lower() in GUI_ONLY for one in given)
    return Source(title, "gui" if gui else "scripts", given)


def _keys(data: dict[str, Any], *, sections: bool) -> Iterator[Given]:
    """Every key; with `sections`, those of a table as if they stood outside of it, as in sd-scripts' config files."""
    for key, value in data.items():
        if sections and isinstance(value, dict) and value and key not in _ASIDE:
            yield from (Given(f"{key}.{name}", inner, str(name)) for name, inner in value.items())
        else:
            yield Given(str(key), value, str(key))


def _from_command(text: str, title: str) -> Source:
    if len(text) > _LONGEST_COMMAND:
        raise refusal("kohya_long_command", name=title, limit=_LONGEST_COMMAND // 1000)
    try:
        found = command.commands(text)
    except ValueError:
        raise refusal("kohya_open_quote", name=title) from None
    training = [words for words in found if any(_TRAINS.search(word) for word in words)] or found
    # Where a script trains in several ways, what trains a LoRA is what can be had here.
    training.sort(key=lambda words: not any(word.endswith("train_network.py") for word in words))
    if not training:
        raise refusal("kohya_not_known", name=title)
    own, launch, script = command.flags(training[0])
    stray, unset = command.strays(training[0]), command.unset(training[0])
    given = [Given(f"--{name}", value, f"launch.{_name(name)}") for name, value in launch]
    given += [Given("program", script, "script")] if script else []
    given += [Given(f"--{name}", value, _name(name)) for name, value in own]
    notes = [say("kohya_note_commands", count=len(training))] if len(training) > 1 else []
    notes += [say("kohya_note_strays", words=values.shown(" ".join(stray)))] if stray else []
    notes += [say("kohya_note_unset", names=", ".join(unset))] if unset else []
    return Source(title, "scripts", tuple(given), tuple(notes))


def _name(flag: str) -> str:
    return flag.replace("-", "_")


def _dataset_keys(data: dict[str, Any]) -> Iterator[Given]:
    """The keys of a dataset_config, the more special the later. Raises Invalid when it is put together wrongly."""
    general = data.get("general", {})
    for key, value in data.items():
        if key not in ("general", "datasets"):
            yield Given(str(key), value, str(key))
    yield from _table(general, "general") if isinstance(general, dict) else [Given("general", general, "general")]
    for i, dataset in enumerate(data["datasets"]):
        place = f"datasets[{i}]"
        if not isinstance(dataset, dict):
            yield Given(place, dataset, place)
            continue
        subsets = dataset.get("subsets", [])
        own = {key: value for key, value in dataset.items() if key != "subsets"}
        yield from _table(own, place, spare=i > 0)
        yield from _subsets(subsets if isinstance(subsets, list) else [subsets], place, spare=i > 0)


def _table(table: dict[str, Any], place: str, *, spare: bool = False) -> Iterator[Given]:
    yield from (Given(f"{place}.{key}", value, str(key), "", spare) for key, value in table.items())


def _subsets(subsets: list[Any], place: str, *, spare: bool) -> Iterator[Given]:
    seen = {False: spare, True: spare}
    for j, subset in enumerate(subsets):
        inner = f"{place}.subsets[{j}]"
        if not isinstance(subset, dict):
            yield Given(inner, subset, inner)
            continue
        reg = values.same(subset.get("is_reg", False), True)
        for key, value in subset.items():
            name = _REG.get(str(key), str(key)) if reg else str(key)
            others = (reg and name == str(key)) or seen[reg]
            yield Given(f"{inner}.{key}", value, name, "", others and name != "is_reg")
        seen[reg] = True


# ---- keys within a key, and access keys ----


def _clean(given: Iterable[Given]) -> Iterator[Given]:
    """Every key and those packed into it, no access key in any text."""
    unpacked = [inner for one in given for inner in (_unpacked(one) if not one.within else [one])]
    held = [one.value for one in unpacked if values.is_secret(one.name)]
    secrets = sorted({str(value) for value in held if len(str(value)) > 3}, key=len, reverse=True)
    for one in unpacked:
        hidden = values.is_secret(one.name) and not values.is_empty(one.value)
        value = values.HIDDEN if hidden else values.without_secrets(one.value, secrets)
        key, name, within = (values.without_secrets(text, secrets) for text in (one.key, one.name, one.within))
        yield Given(key, value, name, within, one.spare)


def _unpacked(one: Given, depth: int = 0) -> Iterator[Given]:
    yield one
    if depth > 1 or one.name not in PACKED or not isinstance(one.value, str | list) or not one.value:
        return
    within = f"{one.within}: {one.key}" if one.within else one.key
    try:
        if one.name == "additional_parameters":
            words = command.split(values.text(one.value), windows="\\" in values.text(one.value))
            for name, value in command.flags(words)[0]:
                yield from _unpacked(Given(f"--{name}", value, _name(name), within), depth + 1)
            return
        prefix = "" if one.name == "network_args" else f"{one.name}."
        for name, text in command.pairs(one.value):
            yield Given(name, text, f"{prefix}{name}", within, one.spare)
    except (ValueError, TypeError):
        return


# ---- files that a file names ----


def _companion(source: Source, key: str, folders: Sequence[pathlib.Path]) -> pathlib.Path | None:
    """The file that `key` names, where it is there to be read."""
    named = [one.value for one in source.given if one.name == key and isinstance(one.value, str) and one.value.strip()]
    if not named or not folders or named[-1].startswith(("\\\\", "//")):
        return None
    path = pathlib.Path(named[-1].strip()).expanduser()
    for candidate in (folder / path for folder in folders):
        try:
            if candidate.suffix.lower() in _ENDINGS and candidate.is_file():
                return candidate
        except (OSError, ValueError):
            continue
    return None


def _bytes(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise refusal("unreadable", path=path, reason=error.strerror or error) from error


def _config_file(source: Source, path: pathlib.Path) -> Source:
    other = read(_bytes(path), str(path))
    note = say("kohya_note_config_file", path=path)
    own = [
        dataclasses.replace(one, name="config_file.read") if one.name == "config_file" else one for one in source.given
    ]
    return Source(source.title, other.kind, (*other.given, *own), (*source.notes, *other.notes, note))


def _dataset_file(source: Source, path: pathlib.Path) -> Source:
    note = say("kohya_note_dataset_config", path=path)
    return dataclasses.replace(with_dataset(source, _bytes(path), str(path)), notes=(*source.notes, note))


def _prompts_file(source: Source, path: pathlib.Path) -> Source:
    """The prompts themselves in place of the name of their file, which sd-scripts wants one a line."""
    if path.suffix.lower() != ".txt":
        return source
    text, _ = _decoded(_bytes(path), str(path))
    given = [dataclasses.replace(one, value=text) if one.name == "sample_prompts" else one for one in source.given]
    note = say("kohya_note_prompts", path=path)
    return dataclasses.replace(source, given=tuple(given), notes=(*source.notes, note))


COMPANIONS: Mapping[str, Callable[[Source, pathlib.Path], Source]] = types.MappingProxyType(
    {"config_file": _config_file, "dataset_config": _dataset_file, "sample_prompts": _prompts_file}
)
"""The keys that name another file, and what that adds."""
