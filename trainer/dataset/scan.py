"""What a pictures folder holds for training, and what is wrong with it."""

import dataclasses
import functools
import pathlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from trainer.dataset import folders
from trainer.dataset.caption_files import Caption, caption_files, read_caption, wrong_with
from trainer.dataset.found import Picture, Scan, Subset
from trainer.dataset.looks import Look, is_settled
from trainer.dataset.masks import with_masks
from trainer.dataset.pictures import BrokenPicture, size_px
from trainer.dataset.problems import Level, Problem, capped, printable, problem, some
from trainer.job.settings import Dataset

__all__ = ["Picture", "Scan", "Subset", "read_ahead", "scan", "without"]

Inside = tuple[pathlib.Path, folders.Listing]
Found = tuple[Subset | None, tuple[Problem, ...]]
Read = tuple[Picture, Caption]
_READ = ("caption_extension", "wildcards", "trigger", "default_repeats", "broken_pictures")
"""The settings that decide how a folder is read, besides where it lies; the reading is given no other."""
_REMEMBERED = 16
_PICTURES_REMEMBERED = 16_384
_READING = threading.Lock()


def scan(settings: Dataset) -> Scan:
    """Reads the folder, its captions and the headers of its pictures. Never raises: what is wrong is in `problems`."""
    found = with_masks(_scan(settings), settings)
    if not settings.regularisation_folder:
        return found
    theirs = {"folder": settings.regularisation_folder, "trigger": ""}
    other = _scan(settings.model_copy(update=theirs))
    problems = (_elsewhere(wrong, "dataset.regularisation_folder") for wrong in other.problems)
    return replace(found, regularisation=other.subsets, problems=(*found.problems, *problems))


def _elsewhere(wrong: Problem, setting: str) -> Problem:
    return replace(wrong, setting=setting) if wrong.setting == "dataset.folder" else wrong


def _scan(settings: Dataset) -> Scan:
    folder = folders.resolve(settings.folder)
    try:
        if not folder.exists():
            return Scan(folder, problems=(problem("error", "data_missing", folder),))
        if not folder.is_dir():
            return Scan(folder, problems=(problem("error", "data_is_file", folder),))
        held = folders.listing(folder)
        if not held.folders and not held.files:
            return Scan(folder, problems=(problem("error", "data_empty", folder),))
        return _scan_folder(folder, held, settings)
    except (OSError, ValueError) as error:
        return Scan(folder, problems=(_unreadable(folder, error),))


def read_ahead(settings: Dataset) -> tuple[int, Iterator[Picture | None]]:
    """How many pictures a scan has to read, and each of them once it is read, None where it is broken.

    What is read so is remembered for the scan. Never raises; the regularisation folder is not read.
    """
    folder = folders.resolve(settings.folder)
    try:
        chosen, _ = _chosen(folder, folders.listing(folder))
    except (OSError, ValueError):
        return 0, iter(())
    asked = _asked(settings)
    belonging = (_belonging(held.files, held.pictures, asked.caption_extension) for _, held in chosen)
    return sum(len(each.captions) for each in belonging), _ahead(chosen, asked)


def _ahead(chosen: Iterable[Inside], settings: Dataset) -> Iterator[Picture | None]:
    for folder, held in chosen:
        words = folders.read_name(printable(folder.name)).words
        for each in _each_picture(held, words, settings):
            yield None if isinstance(each, BrokenPicture) else each[0]


def without(found: Scan, broken: Iterable[BrokenPicture], settings: Dataset) -> Scan:
    """`found` less pictures that turned out to be broken when they were decoded; each is named in a problem."""
    by_path = {error.path: error for error in broken}

    def left(subsets: Iterable[Subset]) -> tuple[Subset, ...]:
        return tuple(replace(s, pictures=tuple(p for p in s.pictures if p.path not in by_path)) for s in subsets)

    named = capped([_broken(error, settings) for error in by_path.values()])
    checked = _checked(found.folder, left(found.subsets), (*found.problems, *named))
    return replace(checked, regularisation=left(found.regularisation))


def _scan_folder(folder: pathlib.Path, held: folders.Listing, settings: Dataset) -> Scan:
    chosen, problems = _chosen(folder, held)
    subsets: list[Subset] = []
    for path, inside in chosen:
        subset, wrong = _scan_subset(path, inside, settings)
        problems += wrong
        subsets += [subset] if subset else []
    if subsets:
        problems += [wrong for path, inside in chosen for wrong in _nested(path, inside)]
    elif not any(wrong.level == "error" for wrong in problems):
        problems += [*_unread_formats(folder, held), _no_pictures(folder)]
    return _checked(folder, tuple(subsets), tuple(problems))


def _chosen(folder: pathlib.Path, held: folders.Listing) -> tuple[list[Inside], list[Problem]]:
    """The folders that may be subsets, and what is wrong with the others."""
    inner, problems = _readable(folder, held)
    if _is_leaf(folder, held, inner):
        return [(folder, held)], problems
    if held.pictures:
        problems.append(problem("warning", "data_loose", folder, count=len(held.pictures)))
    return inner, problems


def _readable(folder: pathlib.Path, held: folders.Listing) -> tuple[list[Inside], list[Problem]]:
    """The sub-folders with what they hold; one that leads back up or cannot be read is a problem instead."""
    found: list[Inside] = []
    problems: list[Problem] = []
    for path in held.folders:
        if folders.is_loop(path, folder):
            problems.append(problem("warning", "data_loop", path))
            continue
        try:
            found.append((path, folders.listing(path)))
        except OSError as error:
            problems.append(_unreadable(path, error))
    return found, problems


def _is_leaf(folder: pathlib.Path, held: folders.Listing, inner: Sequence[Inside]) -> bool:
    """Whether the pictures right in `folder` are used: its own name is numbered, or no numbered folder is in it."""
    if not held.pictures or folders.read_name(folder.name).repeats is not None:
        return bool(held.pictures)
    return not any(inside.pictures and folders.read_name(path.name).repeats is not None for path, inside in inner)


def _scan_subset(folder: pathlib.Path, held: folders.Listing, settings: Dataset) -> Found:
    """The subset that `folder` is (None if it is none), and what is wrong with it."""
    asked = _asked(settings)
    if is_settled(*held.looks):
        try:
            # Who asks for the same at the same time, as a page does, waits for it instead of reading it too.
            with _READING:
                return _subset_as_of(folder, held, asked)
        except _InPart as error:
            found: Found = error.found
            return found
    return _read_subset(folder, held, asked)


def _asked(settings: Dataset) -> Dataset:
    return Dataset(**{name: getattr(settings, name) for name in _READ})


class _InPart(Exception):
    """Not all could be read. As an exception, `found` is not remembered: the next time more may be."""

    def __init__(self, found: Any) -> None:
        self.found = found


# At each change of a setting all folders are asked for again, twice: they are read when one of their files changes.
@functools.lru_cache(maxsize=_REMEMBERED)
def _subset_as_of(folder: pathlib.Path, held: folders.Listing, settings: Dataset) -> Found:
    subset, problems = found = _read_subset(folder, held, settings)
    if subset and len(subset.pictures) == len(held.pictures) and all(wrong.level != "error" for wrong in problems):
        return found
    raise _InPart(found)


def _read_subset(folder: pathlib.Path, held: folders.Listing, settings: Dataset) -> Found:
    name = printable(folder.name)  # it goes into captions and into the metadata of files
    named = folders.read_name(name)
    problems = _unread_formats(folder, held)
    if named.repeats is not None and not 1 <= named.repeats <= folders.MAX_REPEATS:
        key = "data_no_repeats" if named.repeats < 1 else "data_many_repeats"
        return None, (problem("error", key, folder, name=name, repeats=named.repeats, limit=folders.MAX_REPEATS),)
    if not held.pictures:
        empty = [problem("warning", "data_empty_subset", folder, name=name)] if named.repeats else []
        return None, (*problems, *empty)
    if named.repeats is None:
        repeats = settings.default_repeats
        problems.append(problem("warning", "data_unnumbered", folder, name=name, repeats=repeats))
    doubled = _belonging(held.files, held.pictures, settings.caption_extension).doubled
    found, broken = [], []
    for each in _each_picture(held, named.words, settings):
        if isinstance(each, BrokenPicture):
            broken.append(_broken(each, settings))
        else:
            found.append(each)
    pictures = tuple(picture for picture, _ in found)
    subset = Subset(folder, name, named.repeats or settings.default_repeats, named.words, pictures)
    bad_captions = wrong_with((caption for _, caption in found), named.words, settings.trigger)
    return subset, (*problems, *capped(doubled), *capped(broken), *bad_captions)


@dataclasses.dataclass(frozen=True)
class _Belonging:
    """Each picture of a folder with its caption files; of those with the same stem the first, the others `doubled`."""

    captions: Mapping[pathlib.Path, tuple[pathlib.Path, ...]]
    doubled: tuple[Problem, ...]


# Which files belong together their names alone decide, and those change seldom.
@functools.lru_cache(maxsize=_REMEMBERED)
def _belonging(files: tuple[pathlib.Path, ...], pictures: tuple[pathlib.Path, ...], ending: str) -> _Belonging:
    captions = caption_files(files, ending)
    first: dict[str, pathlib.Path] = {}
    doubled = []
    for path in pictures:
        other = first.setdefault(folders.stem(path), path)
        if other is not path:
            # Both would share one caption.
            doubled.append(problem("error", "data_same_stem", path, one=other.name, other=path.name))
    return _Belonging({path: tuple(captions.get(stem, ())) for stem, path in first.items()}, tuple(doubled))


def _each_picture(held: folders.Listing, words: str, settings: Dataset) -> Iterator[Read | BrokenPicture]:
    looks = dict(zip(held.files, held.looks, strict=True))
    for path, files in _belonging(held.files, held.pictures, settings.caption_extension).captions.items():
        seen = (looks[path], *[looks[file] for file in files])
        read = _read_as_of if is_settled(*seen) else _read
        try:
            yield read(path, files, seen, words, settings.wildcards)
        except _InPart as error:
            yield error.found
        except BrokenPicture as error:
            yield error


@functools.lru_cache(maxsize=_PICTURES_REMEMBERED)
def _read_as_of(
    path: pathlib.Path, files: tuple[pathlib.Path, ...], looks: tuple[Look, ...], words: str, all_lines: bool
) -> Read:
    found = _read(path, files, looks, words, all_lines)
    if found[1].problems:
        raise _InPart(found)
    return found


def _read(
    path: pathlib.Path, files: tuple[pathlib.Path, ...], looks: tuple[Look, ...], words: str, all_lines: bool
) -> Read:
    """A picture and its caption from `files`; it looks, and they look, like `looks`. Raises BrokenPicture."""
    size = size_px(path, looks[0])
    caption = read_caption(path, files, looks[1:], words, all_lines)
    changed_ns = looks[0][1] if looks[0] else 0
    return Picture(path, *size, caption.text, caption.path, changed_ns=changed_ns), caption


def _checked(folder: pathlib.Path, subsets: tuple[Subset, ...], problems: tuple[Problem, ...]) -> Scan:
    """The scan, with an error if nothing is left to train on and nothing said so yet."""
    found = Scan(folder, subsets, problems)
    if found.ok and not found.pictures:
        return replace(found, problems=(*problems, problem("error", "data_nothing_left", folder)))
    return found


def _broken(error: BrokenPicture, settings: Dataset) -> Problem:
    level: Level = "error" if settings.broken_pictures == "refuse" else "warning"
    key = "data_broken" if level == "error" else "data_broken_skipped"
    return problem(level, key, error.path, "dataset.broken_pictures", reason=error.reason)


def _nested(folder: pathlib.Path, held: folders.Listing) -> list[Problem]:
    """A warning when pictures lie in folders inside `folder`, which are never read."""
    if not held.folders or folders.first_with_pictures(folder, 2) is None:
        return []
    names = some([path.name for path in held.folders])
    return [problem("warning", "data_nested", folder, name=folder.name, names=names)]


def _unread_formats(folder: pathlib.Path, held: folders.Listing) -> list[Problem]:
    names = [path.name for path in held.unread]
    return [problem("warning", "data_unread_format", folder, count=len(names), names=some(names))] if names else []


def _no_pictures(folder: pathlib.Path) -> Problem:
    deeper = folders.first_with_pictures(folder)
    if deeper is None:
        return problem("error", "data_no_pictures", folder)
    return dataclasses.replace(problem("error", "data_deeper", folder, inner=deeper), mend=str(deeper))


def _unreadable(folder: pathlib.Path, error: Exception) -> Problem:
    reason = getattr(error, "strerror", None) or str(error)
    return problem("error", "data_unreadable_folder", folder, reason=reason)
