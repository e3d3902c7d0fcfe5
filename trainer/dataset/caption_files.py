"""The captions that lie beside the pictures of one folder, and what is wrong with them."""

import functools
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.dataset.looks import Look, is_settled
from trainer.dataset.problems import Problem, capped, problem, some
from trainer.job.files import open_file
from trainer.job.words import say

EXTENSIONS = (".txt", ".caption")  # the first one wins
MAX_BYTES = 65_536
_REMEMBERED = 8192


@dataclass(frozen=True)
class Caption:
    """What is said of one picture, in several lines where one is chosen each time.

    `path` is None where no file says it; `remarks` are keys of warnings, which are about the file `about`.
    """

    about: pathlib.Path
    text: str
    path: pathlib.Path | None = None
    remarks: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def wrong_with(captions: Iterable[Caption], words: str, trigger: str) -> tuple[Problem, ...]:
    """What is wrong with the captions of one folder, whose `words` stand in; with neither, the `trigger` does."""
    errors: list[Problem] = []
    remarked: dict[str, list[pathlib.Path]] = {}
    for caption in captions:
        errors += caption.problems
        for key in caption.remarks:
            remarked.setdefault(key, []).append(caption.about)
    instead = _instead(words, trigger)
    return (*capped(errors), *(_remark(key, paths, instead) for key, paths in remarked.items()))


def caption_files(files: Iterable[pathlib.Path], ending: str = "") -> dict[str, list[pathlib.Path]]:
    """Of `files`, the captions of each picture's stem, the one that wins first; only those of `ending` if not ""."""
    found: dict[str, list[pathlib.Path]] = {}
    endings = (ending.lower(),) if ending else EXTENSIONS
    captions = [path for path in files if path.name.lower().endswith(endings)]
    for extension in endings:
        for path in captions:
            name = path.name
            if name.lower().endswith(extension) and len(name) > len(extension):
                found.setdefault(unicodedata.normalize("NFC", name[: -len(extension)]), []).append(path)
    return found


def read_caption(
    picture: pathlib.Path, files: Sequence[pathlib.Path], looks: Sequence[Look], words: str, all_lines: bool
) -> Caption:
    """The caption of `picture` from its caption files, which look so; `words` stand in where there is none."""
    if not files:
        return Caption(picture, words, remarks=("data_no_caption",))
    path, double = files[0], ("data_two_captions",) if len(files) > 1 else ()
    try:
        lines = _lines_as_of(path, looks[0]) if is_settled(looks[0]) else lines_of(path)
    except UnicodeDecodeError:
        return Caption(path, words, problems=(problem("error", "data_caption_encoding", path),))
    except OSError as error:
        return Caption(
            path, words, problems=(problem("error", "data_caption_unreadable", path, reason=error.strerror),)
        )
    if lines is None:
        return Caption(path, words, problems=(problem("error", "data_caption_long", path, limit=MAX_BYTES // 1024),))
    if not lines:
        return Caption(path, words, remarks=(*double, "data_empty_caption"))
    if all_lines or len(lines) == 1:
        return Caption(path, "\n".join(lines), path, double)
    return Caption(path, lines[0], path, (*double, "data_more_lines"))


@functools.lru_cache(maxsize=_REMEMBERED)
def _lines_as_of(path: pathlib.Path, look: Look) -> tuple[str, ...] | None:
    return lines_of(path)


def lines_of(path: pathlib.Path) -> tuple[str, ...] | None:
    """The lines that say something; None where they are too long to be a caption. Raises OSError, ValueError."""
    with open_file(path) as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        return None
    return tuple(line.strip() for line in raw.decode("utf-8-sig").splitlines() if line.strip())


def _remark(key: str, paths: Sequence[pathlib.Path], instead: str) -> Problem:
    folder, names = paths[0].parent, some([path.name for path in paths])
    return problem("warning", key, folder, count=len(paths), names=names, folder=folder.name, instead=instead)


def _instead(words: str, trigger: str) -> str:
    """What a picture without a caption of its own is trained with, as part of a sentence."""
    if words:
        return say("data_instead_words", words=words)
    return say("data_instead_trigger", trigger=trigger) if trigger else say("data_instead_nothing")
