"""What the file browser shows: folders and files of this machine, inside its roots and never outside."""

import contextlib
import json
import os
import pathlib
import re
import string
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app import places
from app.words import say
from trainer.dataset.pictures import EXTENSIONS

COUNTING_S = 0.05
MOST_LEVELS = 100
FILE_ENDINGS = (".safetensors", ".ckpt")
FILE_KINDS = ("model", "lora", "checkpoint")
"""What may be browsed for that is a file; everything else is a folder."""

Roots = Sequence[tuple[str, pathlib.Path]]


def roots() -> Roots:
    """Where browsing may begin, with a label each: home, the current and the output folders, mounted drives."""
    here = pathlib.Path.cwd()
    found = [(say("browser.home"), pathlib.Path.home()), *([] if here.parent == here else [(here.name, here)])]
    found += [
        (say("browser.outputs") if index == 0 else folder.name, folder)
        for index, folder in enumerate(places.output_folders())
    ]
    found += [(drive.name or str(drive), drive) for drive in _drives()]
    by_path = {path.resolve(): label for label, path in reversed(found) if os.path.isdir(path)}
    return [(label, path) for path, label in reversed(by_path.items())]


def _drives() -> list[pathlib.Path]:
    if sys.platform == "win32":
        return [path for letter in string.ascii_uppercase if (path := pathlib.Path(f"{letter}:\\")).exists()]
    user = pathlib.Path.home().name
    parents = (f"/media/{user}", f"/run/media/{user}", "/mnt", "/Volumes")
    return [drive for parent in map(pathlib.Path, parents) for drive in _children(parent)]


def _children(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(path for path in folder.iterdir() if os.path.isdir(path))
    except OSError:
        return []


def allowed(path: pathlib.Path, inside: Roots) -> pathlib.Path | None:
    """`path` with its links followed, or None when it is outside of every root in `inside`."""
    if is_elsewhere(path) and not any(path.is_relative_to(root) for _, root in inside):
        return None
    try:
        real = path.expanduser().resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return real if any(real.is_relative_to(root) for _, root in inside) else None


def is_elsewhere(path: pathlib.PurePath) -> bool:
    r"""Whether a path of Windows names another machine or a device, `\\server\share`, `\\?\…`.

    Even to look whether it is there would log in at that machine, with the name and the password's hash of the user.
    """
    return path.drive.startswith(("\\\\", "//"))


def listing(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What lies in the folder `wanted["path"]`, or in the nearest one that may be shown.

    Where `wanted["kind"]` is one of FILE_KINDS, model files are listed too. Folders come first and carry how many
    pictures lie directly in them (None where counting would take too long).
    """
    # They are looked up once: a folder may hold thousands of others.
    known = roots()
    folder = _nearest(str(wanted.get("path") or ""), known)
    (inside, others), message = _entries(folder, known)
    until = time.monotonic() + COUNTING_S
    return {
        "path": str(folder),
        "message": message,
        "roots": [{"label": label, "path": str(path)} for label, path in known],
        "crumbs": _crumbs(folder, known),
        "pictures": _pictures(others),
        "folders": [_folder(os.path.join(folder, name), name, until) for name in inside],
        "files": _models(folder, others, known) if wanted.get("kind") in FILE_KINDS else [],
    }


def listing_text(wanted: Mapping[str, Any]) -> str:
    """`listing` as JSON: Gradio copies what a page is answered, value by value, unless it is one text."""
    return json.dumps(listing(wanted), ensure_ascii=False)


def _nearest(text: str, inside: Roots) -> pathlib.Path:
    start = pathlib.Path(text).expanduser() if text and os.path.isabs(os.path.expanduser(text)) else pathlib.Path.home()
    # To look at a path takes as long as it is deep, and each of its parents is looked at.
    deep = len(start.parts) > MOST_LEVELS
    for folder in () if deep else (start, *start.parents):
        real = allowed(folder, inside)
        if real is not None and os.path.isdir(real):
            return real
    return inside[0][1]


def _entries(folder: pathlib.Path, known: Roots) -> tuple[tuple[list[str], list[str]], str]:
    """The folders in `folder` that may be shown and all else in it, in order; and why it cannot be read, or ""."""
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not entry.name.startswith((".", "$")) and is_text(entry.name)]
    except OSError as error:
        return ([], []), say("browser.unreadable", reason=error.strerror or error)
    inner = {entry.name for entry in found if (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir())}
    # What is no link lies where `folder` lies; on Windows a junction is one without saying so.
    links = {entry.name for entry in found if entry.is_symlink() or os.name == "nt"}
    names = sorted((entry.name for entry in found), key=_natural)
    shown = [name for name in names if name in inner and (name not in links or allowed(folder / name, known))]
    return (shown, [name for name in names if name not in inner]), ""


def is_text(name: str) -> bool:
    """Whether `name` can be shown: on Linux a name may be any bytes, and a page only takes Unicode."""
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.casefold()) for part in re.split(r"(\d+)", name)]


def _crumbs(folder: pathlib.Path, inside: Roots) -> list[dict[str, str]]:
    shown = [part for part in (folder, *folder.parents) if allowed(part, inside)]
    return [{"name": part.name or str(part), "path": str(part)} for part in reversed(shown)]


def _pictures(names: Iterable[str]) -> int:
    return sum(os.path.splitext(name)[1].lower() in EXTENSIONS for name in names)


def _folder(path: str, name: str, until: float) -> dict[str, Any]:
    pictures = None
    if time.monotonic() <= until:
        with contextlib.suppress(OSError):
            pictures = _pictures(os.listdir(path))
    return {"name": name, "path": path, "pictures": pictures}


def _models(folder: pathlib.Path, names: Iterable[str], inside: Roots) -> list[dict[str, str]]:
    paths = (folder / name for name in names if os.path.splitext(name)[1].lower() in FILE_ENDINGS)
    named = (path for path in paths if os.path.isfile(path))
    found = [path for path in named if allowed(path, inside)]
    return [{"name": path.name, "path": str(path), "size": _size(path.stat().st_size)} for path in found]


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MB"
