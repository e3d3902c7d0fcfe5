"""Writes the caption of a picture, beside it."""

import os
import pathlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from app import thumbs
from app.words import say
from trainer.dataset.caption_files import EXTENSIONS, MAX_BYTES, caption_files, lines_of
from trainer.dataset.folders import natural, stem
from trainer.job.dataset_section import ENDING
from trainer.run.folder import forget_abandoned, write_text

# A list of what is allowed: nobody knows all endings of programs, settings and keys. Words instead of whole endings,
# since every captioner has its own (.wd14_cap, .joycaption, .txt2). none is how Kohya's users have no captions read.
_CAPTION_WORD = re.compile(
    r"caption|prompt|booru|(?<![a-z])(txt|text|caps?|tags?|wd|blip|none)(?![a-z])", re.ASCII | re.IGNORECASE
)


def save_caption(given: Mapping[str, Any]) -> dict[str, Any]:
    """Writes `given["text"]` as the caption of the picture `given["path"]`; gives `ok`, the caption and a message.

    The file ends in `given["ending"]`, or as usual where that is empty; `key` must prove that this process has shown
    that picture with captions of that ending. With `given["all_lines"]` the text is all lines of the file, else only
    the first one, and those below it, which nobody was shown, stay.
    """
    path, all_lines = pathlib.Path(str(given.get("path"))), given.get("all_lines") is True
    ending = str(given.get("ending") or "")
    if not _may(path, ending, given.get("key")):
        return {"ok": False, "message": say("captions.refused")}
    # Half a character, which only a browser can send, is in no code.
    sent = str(given.get("text")).encode("utf-8", "replace").decode()
    typed = [line for line in (" ".join(line.split()) for line in sent.splitlines()) if line]
    text = ("\n" if all_lines else " ").join(typed)
    try:
        target = caption_path(path, ending)
        if not _is_beside(target, path):
            return {"ok": False, "message": say("captions.elsewhere", name=target.name)}
        held = _lines(target)
        if held is None:
            return {"ok": False, "message": say("captions.no_text", name=target.name)}
        below = [] if all_lines or not text else held[1:]
        whole = "\n".join([text, *below]) + "\n"
        if len(whole.encode()) > MAX_BYTES:
            return {"ok": False, "message": say("captions.too_long", limit=MAX_BYTES // 1024)}
        forget_abandoned(target.parent)
        write_text(target, whole)
    except OSError as error:
        return {"ok": False, "message": say("captions.unsaved", reason=error.strerror or error)}
    return {"ok": True, "caption": text, "message": say("captions.saved", name=target.name)}


def whole_caption(given: Mapping[str, Any]) -> str:
    """What training reads as the caption of the picture `given["path"]`, which has one; "" where it cannot be known.

    `key`, `ending` and `all_lines` as for `save_caption`.
    """
    path, ending = pathlib.Path(str(given.get("path"))), str(given.get("ending") or "")
    if not _may(path, ending, given.get("key")):
        return ""
    try:
        target = caption_path(path, ending)
        lines = (_lines(target) if _is_beside(target, path) else None) or ()
    except OSError:  # what cannot be read any more, the scan that comes next says
        return ""
    return "\n".join(lines if given.get("all_lines") is True else lines[:1])


def _may(path: pathlib.Path, ending: str, key: object) -> bool:
    """Whether a page may have the caption with this ending of this picture."""
    if ending and not names_captions(ending):
        return False
    return thumbs.is_shown(str(path), str(key), ending) and path.is_file()


def _is_beside(caption: pathlib.Path, picture: pathlib.Path) -> bool:
    """Whether `caption`, links followed, is a file of captions in the folder of the picture, or where that leads."""
    real = pathlib.Path(os.path.realpath(caption))
    folders = (os.path.realpath(picture.parent), os.path.dirname(os.path.realpath(picture)))
    # In stores of content, as of the hub, files have no endings at all.
    named = names_captions(real.suffix) if real.suffix else not real.name.startswith(".")
    return str(real.parent) in folders and named


def names_captions(ending: str) -> bool:
    """Whether a page may read and write files that end so: the last part says that they hold captions."""
    return bool(ENDING.fullmatch(ending) and _CAPTION_WORD.search(ending.rpartition(".")[2]))


def caption_path(picture: pathlib.Path, ending: str = "") -> pathlib.Path:
    """The caption file of `picture`: the one that training reads, its ending in whatever case, or a new one."""
    wanted, names = stem(picture), os.listdir(picture.parent)
    # In a folder of thousands of files only those are looked at that may belong to this picture.
    near = [name for name in names if unicodedata.normalize("NFC", name).startswith(wanted)]
    paths = [picture.with_name(name) for name in sorted(near, key=natural)]
    found = caption_files([path for path in paths if not path.is_dir()], ending).get(wanted)
    return found[0] if found else picture.with_name(picture.stem + (ending or EXTENSIONS[0]))


def _lines(path: pathlib.Path) -> Sequence[str] | None:
    """What a caption file says; none where there is no file, None where it is no caption: no text, or too long."""
    try:
        return lines_of(path)
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError:
        return None
