"""All runs at a glance, and each of them by its key.

A page asks for them again and again: of a run that lies still nothing is read, and nothing is said, a second time.
"""

import contextlib
import functools
import hashlib
import operator
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from app import places, watch
from app.watch import REMEMBERED_RUNS, Look
from trainer.run.folder import RunFolder


class Listed(NamedTuple):
    """A run in an output folder: its key, and how it looks."""

    key: str
    look: Look


def key_of(run: RunFolder) -> str:
    """The name of `run` in addresses: the same for the same folder, on every page and after every restart."""
    is_link, parent = os.path.islink(run.path), os.path.realpath(run.path.parent)
    return _key(os.path.realpath(run.path) if is_link else os.path.join(parent, run.name))


def find(key: str) -> RunFolder | None:
    """The run of this key among all runs in the output folders in use, None where there is none."""
    # At each poll of a page: hundreds of other runs must not be looked into.
    runs = (RunFolder(pathlib.Path(path)) for other, path in _keyed() if other == key)
    return next((run for run in runs if run.job.is_file()), None)


def listed() -> list[Listed]:
    """All runs in the output folders in use, newest first."""
    looked = (Listed(key, watch.look(path)) for key, path in _keyed())
    found = [(run.look.created, run.look.path.rpartition(os.sep)[2], run) for run in looked if run.look.created]
    return [run for _, _, run in sorted(found, key=operator.itemgetter(0, 1), reverse=True)]


def overviews(known: str) -> dict[str, Any]:
    """What is said of all `runs`, newest first; `still` are those of which nothing changes by itself.

    `version` stands for all that is said of these. Where it is `known` already, `whole` is false and `runs` are the
    other ones alone.
    """
    runs = listed()
    # It differs from one start of the program to the next: then all is said again.
    version = f"{hash(tuple(run for run in runs if run.look.lies_still)) & (2**64 - 1):x}"
    whole = version != known
    shown = [described(*run) for run in runs if whole or not run.look.lies_still]
    # What lies still, but could not be read now, is to be asked for again.
    unread = whole and sum(run["still"] for run in shown) < sum(run.look.lies_still for run in runs)
    return {"version": "" if unread else version, "whole": whole, "runs": shown}


def described(key: str, look: Look) -> dict[str, Any]:
    """The overview of a run, with its `key` and `folder`."""
    return {"key": key, "folder": look.path, "still": look.lies_still, **watch.seen(look)}


def _keyed() -> Iterator[tuple[str, str]]:
    """The key and the path of all that may be a run; a folder that cannot be read must not hide the others."""
    for folder in places.output_folders():
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            parent = os.path.realpath(folder)
            for entry in entries:
                real = os.path.realpath(entry.path) if entry.is_symlink() else f"{parent}{os.sep}{entry.name}"
                yield _key(real), entry.path


@functools.lru_cache(maxsize=REMEMBERED_RUNS)
def _key(real: str) -> str:
    return hashlib.blake2s(os.fsencode(real), digest_size=10).hexdigest()
