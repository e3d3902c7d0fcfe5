"""The presets to choose from: those that come with the program and the user's own, which lie in the home folder."""

import dataclasses
import pathlib
import re

from app import places
from app.words import say
from trainer.job import presets
from trainer.job.fields import Invalid, Message
from trainer.job.settings import Job
from trainer.run.folder import write_text

STARTER = "sd15/starter"
OWN = "own"
_ORDER = ("starter", "character", "style", "few-pictures", "many-pictures", "8gb", "mac")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One preset file: `key` names it in the page, the rest is for a person (see presets.Document)."""

    key: str
    path: pathlib.Path
    title: str
    purpose: str
    reasoning: tuple[str, ...] = ()
    file_mb: float = 0.0
    memory_gb: float = 0.0


def entries() -> list[Entry]:
    """Every preset: the starter, those of each family in one order, the user's own.

    A file that cannot be read is listed by its name.
    """
    shipped = sorted(presets.PRESETS.glob("*/*.json"), key=_place)
    found = [_entry(f"{path.parent.name}/{path.stem}", path) for path in shipped]
    own = sorted(own_folder().glob("*.json"), key=lambda path: path.name.casefold())
    return found + [_entry(f"{OWN}/{path.stem}", path) for path in own if not path.name.startswith(".")]


def _place(path: pathlib.Path) -> tuple[bool, str, int, str]:
    name = path.stem
    number = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return f"{path.parent.name}/{name}" != STARTER, path.parent.name, number, name


def own_folder() -> pathlib.Path:
    """Where the user's presets are; it need not exist."""
    return places.home() / "presets"


def _entry(key: str, path: pathlib.Path) -> Entry:
    try:
        read = presets.read(path)
    except Invalid as error:
        return Entry(key, path, path.stem, str(error))
    title = read.title or path.stem
    shown = say("presets.own", title=title) if key.startswith(f"{OWN}/") else title
    return Entry(key, path, shown, read.purpose, read.reasoning, read.file_mb, read.memory_gb)


def find(key: str | None) -> Entry | None:
    """The preset of this key; None when there is none (any more)."""
    return next((entry for entry in entries() if entry.key == key), None)


def read(key: str | None) -> presets.Document:
    """The preset of this key. Raises Invalid."""
    entry = find(key)
    if entry is None:
        raise Invalid([Message("", say("presets.gone"))])
    return presets.read(entry.path)


def start_job() -> Job:
    """What a form shows at first: the starter preset, or the defaults where it cannot be read."""
    try:
        return read(STARTER).job
    except Invalid:
        return Job()


def save(job: Job, title: str, purpose: str, replace: str = "") -> Entry:
    """Writes the user's own preset `title`. Raises Invalid when another one has that file already.

    The one whose key is `replace` may be written over.
    """
    stem = re.sub(r'[/\\:*?"<>|\x00-\x1f]+', "-", title).strip(". -")[:80]
    if not stem:
        raise Invalid([Message("", say("presets.no_title"))])
    path, key = own_folder() / f"{stem}.json", f"{OWN}/{stem}"
    if path.exists() and key != replace:
        raise Invalid([Message("", say("presets.exists", title=title))])
    write_text(path, presets.dump(job, title.strip(), purpose.strip()))
    return _entry(key, path)
