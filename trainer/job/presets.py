"""Reads and writes job and preset files.

Both are one JSON object: `version`, the sections of a `Job` (any part of them; the rest are defaults), and, in a
preset, `title` and `purpose`, why its numbers are as they are (`reasoning`, a list of sentences), the size of its file
(`file_mb`) and an estimate of the memory that it needs (`memory_gb`); what a run's job.json says `about` itself is
passed over.
"""

import dataclasses
import json
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any

from trainer.job.fields import Invalid, Message, flatten, nest, parse, specs, unknown_messages, unknown_paths
from trainer.job.files import open_file
from trainer.job.settings import VERSION, Job
from trainer.job.words import say

HEAD = ("version", "title", "purpose", "reasoning", "file_mb", "memory_gb", "about")
"""What stands in a file beside the sections of a job."""
MAX_BYTES = 4 * 2**20
"""The largest file that is read: all settings with their longest lists take a fraction of it."""
PRESETS = pathlib.Path(__file__).parents[2] / "presets"

Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: Mapping[int, Migration] = types.MappingProxyType({})
"""From version n to n + 1, by n."""


@dataclasses.dataclass(frozen=True)
class Document:
    """What a file holds: nested values as written (in today's version), what it says of them, and what was not known.

    `file_mb` and `memory_gb` are 0 where nothing is said.
    """

    data: Mapping[str, Any]
    title: str
    purpose: str
    unknown: tuple[Message, ...]
    reasoning: tuple[str, ...] = ()
    file_mb: float = 0.0
    memory_gb: float = 0.0

    @property
    def job(self) -> Job:
        """The defaults with this file's values. Raises Invalid."""
        return parse(self.data)


def read(path: pathlib.Path) -> Document:
    """The document in `path`. Raises Invalid with one sentence when it is missing, no JSON or no job."""
    try:
        with open_file(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise _invalid("no_file", path=path) from None
    except (OSError, ValueError) as error:
        raise _invalid("unreadable", path=path, reason=getattr(error, "strerror", error)) from error
    return from_bytes(content, str(path))


def from_bytes(content: bytes, name: str) -> Document:
    """The document that is `content` of a file; `name` stands in messages. Raises Invalid with one sentence."""
    if len(content) > MAX_BYTES:
        raise _invalid("too_large", path=name, limit=MAX_BYTES // 2**20)
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _invalid("unreadable", path=name, reason=error) from error
    except json.JSONDecodeError as error:
        raise _invalid("not_json", path=name, reason=error.msg, line=error.lineno) from error
    except (RecursionError, ValueError):  # nested too deep, or a number of thousands of digits
        raise _invalid("not_a_job", path=name) from None
    return document(data, name)


def document(data: Any, name: str) -> Document:
    """The document that parsed JSON `data` is; `name` stands in messages. Raises Invalid."""
    if not isinstance(data, dict):
        raise _invalid("not_a_job", path=name)
    version = data.get("version", VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _invalid("not_a_job", path=name)
    if version > VERSION:
        raise _invalid("newer_version", path=name, version=version, known=VERSION)
    for older in range(version, VERSION):
        data = MIGRATIONS[older](data)
    values = {key: value for key, value in data.items() if key not in HEAD}
    if any(not isinstance(values.get(section, {}), dict) for section in Job.model_fields):
        raise _invalid("not_a_job", path=name)
    unknown, reasoning = unknown_paths(values), data.get("reasoning")
    return Document(
        _without(values, unknown),
        str(data.get("title", "")),
        str(data.get("purpose", "")),
        unknown_messages(unknown),
        tuple(map(str, reasoning)) if isinstance(reasoning, list) else (),
        _positive(data.get("file_mb")),
        _positive(data.get("memory_gb")),
    )


def _positive(value: Any) -> float:
    """A number above 0; 0 for anything else."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e9 else 0.0


def _without(values: Mapping[str, Any], paths: tuple[str, ...]) -> dict[str, Any]:
    kept, gone = {}, set(paths)
    for section, section_values in values.items():
        if section not in gone:
            kept[section] = {name: value for name, value in section_values.items() if f"{section}.{name}" not in gone}
    return kept


def _invalid(key: str, **values: object) -> Invalid:
    return Invalid([Message("", say(key, **values))])


def changed(job: Job) -> dict[str, Any]:
    """The values of `job` that are not defaults, nested."""
    return nest({path: value for path, value in flatten(job).items() if value != specs()[path].default})


def dump(job: Job, title: str = "", purpose: str = "") -> str:
    """A preset file of `job`: title and purpose and only the values that are not defaults."""
    head = {"version": VERSION, "title": title, "purpose": purpose}
    return json.dumps({**head, **changed(job)}, indent=2, ensure_ascii=False) + "\n"
