"""What a data set was, in a few bytes a picture: so that a run that is resumed can say what has changed meanwhile."""

import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from trainer.dataset.found import Picture, Scan, Subset
from trainer.job.words import say

_END_BYTES = 4096
Marks = Mapping[str, list[str]]


def fingerprint(found: Scan) -> dict[str, list[str]]:
    """By a picture's place in its folder: a mark of the picture with its mask, and one of what is said of it.

    A picture is known by its length and its two ends. They differ for whatever was painted over, for compressed
    pictures end in what follows from all before; so thousands of them are compared in a moment.
    """
    return {name: [_of_picture(picture), _hash(picture.caption.encode())] for name, picture in _named(found)}


def changes(before: Marks, now: Marks) -> str:
    """What has changed, as the middle of a sentence; "" when nothing has."""
    both = before.keys() & now.keys()
    counts = {
        "data_added": len(now.keys() - before.keys()),
        "data_removed": len(before.keys() - now.keys()),
        "data_edited": sum(before[name][0] != now[name][0] for name in both),
        "data_said": sum(before[name][1] != now[name][1] for name in both),
    }
    return ", ".join(say(f"{key}_one" if count == 1 else key, count=count) for key, count in counts.items() if count)


def _named(found: Scan) -> Iterator[tuple[str, Picture]]:
    for kind, subsets in (("", found.subsets), ("regularisation/", found.regularisation)):
        yield from _of_subsets(kind, subsets)


def _of_subsets(kind: str, subsets: Iterable[Subset]) -> Iterator[tuple[str, Picture]]:
    for subset in subsets:
        for picture in subset.pictures:
            inside = os.path.relpath(picture.path, subset.folder)
            yield f"{kind}{subset.name}/{pathlib.Path(inside).as_posix()}", picture


def _of_picture(picture: Picture) -> str:
    return _hash(*(_ends(path) for path in (picture.path, picture.mask) if path))


def _ends(path: pathlib.Path) -> bytes:
    try:
        with path.open("rb") as stream:
            size, first = os.fstat(stream.fileno()).st_size, stream.read(_END_BYTES)
            stream.seek(max(0, size - _END_BYTES))
            return str(size).encode() + first + stream.read(_END_BYTES)
    except OSError:
        return b""


def _hash(*parts: bytes) -> str:
    return hashlib.blake2b(b" ".join(parts), digest_size=8).hexdigest()
