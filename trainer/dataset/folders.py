"""Kohya's folder convention: `25_cat` is 25 repeats of "cat"; where a data set lies, and what lies in a folder."""

import functools
import os
import pathlib
import re
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType

from trainer.dataset.looks import Look, look_of
from trainer.dataset.pictures import EXTENSIONS, readable_extensions

MAX_REPEATS = 10_000
_STARTERS = MappingProxyType({"starter": "dataset", "starter-style": "dataset_style"})
_IGNORED = frozenset({"__macosx", "$recycle.bin", "system volume information", "@eadir"})
_OTHER_PICTURES = frozenset({".heic", ".heif", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw", ".tga", ".jp2"})
_DEPTH = 4
_MOST_FOLDERS = 2000
_FOLDERS_REMEMBERED = 16


@dataclass(frozen=True)
class Named:
    """What a folder's name says. `repeats` is None where the name does not start with a whole number."""

    repeats: int | None
    words: str


@dataclass(frozen=True)
class Listing:
    """What a folder holds in natural order, without hidden things: its sub-folders and its files.

    `looks` tells how each of the files looks from outside.
    """

    folders: tuple[pathlib.Path, ...]
    files: tuple[pathlib.Path, ...]
    looks: tuple[Look, ...] = ()

    @property
    def pictures(self) -> tuple[pathlib.Path, ...]:
        """The files that are pictures by their ending and can be read here."""
        return _ending_in(self.files, readable_extensions())

    @property
    def unread(self) -> tuple[pathlib.Path, ...]:
        """The files that are pictures of a kind that cannot be read here."""
        return _ending_in(self.files, (EXTENSIONS | _OTHER_PICTURES) - readable_extensions())


@functools.lru_cache(maxsize=2 * _FOLDERS_REMEMBERED)
def _ending_in(files: tuple[pathlib.Path, ...], endings: frozenset[str]) -> tuple[pathlib.Path, ...]:
    return tuple(file for file in files if file.suffix.lower() in endings)


def resolve(folder: str) -> pathlib.Path:
    """Where a data set named in a job lies: one that comes with the program, or a path (~ and quotes understood)."""
    if folder in _STARTERS:
        return pathlib.Path(__file__).parents[1] / "starter" / _STARTERS[folder]
    bare = folder.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1]
    return pathlib.Path(os.path.abspath(os.path.expanduser(bare)))


def read_name(name: str) -> Named:
    """`10_black cat_v2` → 10, "black cat_v2"; `25` and `25_` → 25, ""; `cat` → None, "cat"; `-3_cat` → -3, "cat"."""
    head, _, words = name.partition("_")
    try:
        return Named(int(head), words.strip())
    except ValueError:
        # A fraction is no number of repeats, but it is no part of the words either.
        return Named(None, words.strip() if re.fullmatch(r"\s*[+-]?\d+[.,]\d+\s*", head) else name.strip())


def listing(folder: pathlib.Path) -> Listing:
    """What `folder` holds; raises OSError where it cannot be read. Links are followed."""
    inner: list[str] = []
    looks: dict[str, Look] = {}
    # One sweep: a folder may hold thousands of files, and all are looked at anew at each change of a setting.
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if _is_hidden(name):
                continue
            if is_folder(entry):
                inner.append(name)
            else:
                looks[name] = look_of(entry)
    folders, (names, files) = _in_order(folder, tuple(inner))[1], _in_order(folder, tuple(looks))
    return Listing(folders, files, tuple(map(looks.__getitem__, names)))


# The names in a folder change seldom, and to bring thousands into their order takes longer than to read them.
@functools.lru_cache(maxsize=_FOLDERS_REMEMBERED)
def _in_order(folder: pathlib.Path, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[pathlib.Path, ...]]:
    ordered = tuple(sorted(names, key=natural))
    return ordered, tuple(folder / name for name in ordered)


def is_loop(folder: pathlib.Path, root: pathlib.Path) -> bool:
    """Whether `folder` is a link back to `root` or to a folder that `root` lies in."""
    real = folder.resolve()
    return real == root.resolve() or real in root.resolve().parents


def first_with_pictures(
    folder: pathlib.Path, depth: int = _DEPTH, seen: dict[pathlib.Path, int] | None = None
) -> pathlib.Path | None:
    """The parent of numbered folders, or else the folder of pictures, that lies below `folder`; None if there is none.

    Folders that cannot be read, or were `seen` before at that `depth` or a greater one, are passed over, and so are
    those that `folder` lies in, and all others once there are too many.
    """
    seen = dict.fromkeys((folder.resolve(), *folder.resolve().parents), depth) if seen is None else seen
    for inner in listing(folder).folders if depth else ():
        real = inner.resolve()
        if seen.get(real, 0) >= depth or len(seen) > _MOST_FOLDERS:
            continue
        seen[real] = depth
        try:
            held = listing(inner)
        except OSError:
            continue
        if held.pictures:
            return folder if read_name(inner.name).repeats is not None else inner
        deeper = first_with_pictures(inner, depth - 1, seen) if held.folders else None
        if deeper is not None:
            return deeper
    return None


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """A key that sorts `2.png` before `10.png`, the same on every file system."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", name).casefold())
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def stem(path: pathlib.Path) -> str:
    """The name without its ending, in the one form of Unicode that a Mac and a PC agree on."""
    return unicodedata.normalize("NFC", path.stem)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _IGNORED


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, links followed; False for a link that leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
