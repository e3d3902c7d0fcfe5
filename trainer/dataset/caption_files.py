"""The captions that lie beside the pictures of one folder, and what is wrong with them."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.dataset.folders import Listing, stem
from trainer.dataset.looks import Look, is_settled
from trainer.dataset.problems import Problem, capped, problem, some
from trainer.job.files import open_file
from trainer.job.settings import Dataset
from trainer.job.words import say

EXTENSIONS = (".txt", ".caption")  # the first one wins
MAX_BYTES = 65_536
_REMEMBERED = 8192


@dataclass(frozen=True)
class Caption:
    """What is said of one picture, in several lines where one is chosen each time.

    `path` is None where no file says it; `remarks` are keys of warnings.
    """

    text: str
    path: pathlib.Path | None = None
    remarks: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_captions(held: Listing, words: str, settings: Dataset) -> tuple[Mapping[str, Caption], tuple[Problem, ...]]:
    """The caption of each picture's stem, `words` standing in where there is none; and what is wrong."""
    files = caption_files(held, settings.caption_extension)
    pictures = {stem(picture): picture for picture in reversed(held.pictures)}
    looks = dict(zip(held.files, held.looks, strict=True))
    read = functools.partial(_read, looks=looks, words=words, all_lines=settings.wildcards)
    captions = {name: read(files.get(name, ())) for name in reversed(pictures)}
    errors = [wrong for caption in captions.values() for wrong in caption.problems]
    remarked: dict[str, list[pathlib.Path]] = {}
    for name, caption in captions.items():
        for key in caption.remarks:
            remarked.setdefault(key, []).append(caption.path or files.get(name, [pictures[name]])[0])
    instead = _instead(words, settings.trigger)
    return captions, (*capped(errors), *(_remark(key, paths, instead) for key, paths in remarked.items()))


def caption_files(held: Listing, ending: str = "") -> dict[str, list[pathlib.Path]]:
    """The caption files of each picture's stem, the one that wins first; only those of `ending` unless it is ""."""
    found: dict[str, list[pathlib.Path]] = {}
    for extension in (ending.lower(),) if ending else EXTENSIONS:
        for path in held.files:
            if path.name.lower().endswith(extension) and len(path.name) > len(extension):
                found.setdefault(stem(pathlib.Path(path.name[: -len(extension)] + ".txt")), []).append(path)
    return found


def _read(files: Sequence[pathlib.Path], looks: Mapping[pathlib.Path, Look], words: str, all_lines: bool) -> Caption:
    if not files:
        return Caption(words, remarks=("data_no_caption",))
    path, double = files[0], ("data_two_captions",) if len(files) > 1 else ()
    try:
        lines = _lines_as_of(path, looks[path]) if is_settled(looks[path]) else _lines(path)
    except UnicodeDecodeError:
        return Caption(words, problems=(problem("error", "data_caption_encoding", path),))
    except OSError as error:
        return Caption(words, problems=(problem("error", "data_caption_unreadable", path, reason=error.strerror),))
    if lines is None:
        return Caption(words, problems=(problem("error", "data_caption_long", path, limit=MAX_BYTES // 1024),))
    if not lines:
        return Caption(words, remarks=(*double, "data_empty_caption"))
    if all_lines or len(lines) == 1:
        return Caption("\n".join(lines), path, double)
    return Caption(lines[0], path, (*double, "data_more_lines"))


@functools.lru_cache(maxsize=_REMEMBERED)
def _lines_as_of(path: pathlib.Path, look: Look) -> tuple[str, ...] | None:
    return _lines(path)


def _lines(path: pathlib.Path) -> tuple[str, ...] | None:
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
