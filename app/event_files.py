"""What a page needs of the events of a run: bounded reads, and nothing read twice that cannot have changed.

What is remembered is only what follows from the bytes of a file as it was: it is looked up by how the file looks, so it
is never older than the file.
"""

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json

from trainer.job.files import open_file
from trainer.run.events import LONGEST_LINE_BYTES

Event = Mapping[str, Any]

HEAD_BYTES = 4 * 1024
MAX_HEAD_BYTES = 8 * 1024 * 1024
MAX_TAIL_BYTES = 8 * 1024 * 1024
"""Of what a power cut leaves at the end of a file, so many zeros are looked behind for its last events."""
BLOCK_BYTES = 4 * 1024 * 1024
EVENTS_PER_CALL = 25_000
WHOLE_BLOCK_BYTES = 1024 * 1024
"""So much of a file is looked through at once for samples; of an append-only file it stays as it is once it is full."""
REMEMBERED_BLOCKS = 256
MOST_BLOCKS = 1024
"""In so many of the last blocks samples are looked for: in millions of steps, but not in all of a file without end."""
SIGN_BYTES = 200
"""By so much of its beginning, which holds the time of its first event, a file is told from one put in its place."""


class Stamp(NamedTuple):
    """How a file looks from outside: another content means another stamp. Zeros where there is none."""

    path: str
    size: int = 0
    changed_ns: int = 0
    node: int = 0


def stamp(path: str | pathlib.Path) -> Stamp:
    """The stamp of a file now."""
    try:
        status = os.stat(path)
    except OSError:  # gone, or not to be read: of one run no other may suffer
        return Stamp(str(path))
    return Stamp(str(path), status.st_size, status.st_mtime_ns, status.st_ino)


def ends(path: str | pathlib.Path, size: int, tail_bytes: int) -> list[Event]:
    """The first `started` and the last events of the first `size` bytes, in order; all events where these are few.

    No last events are found behind `MAX_TAIL_BYTES` without any. Raises OSError where they cannot be read.
    """
    while tail_bytes < size:
        # The first line of the tail is the end of a line, unless chance would have it otherwise.
        tail = parsed(_read(path, size - tail_bytes, tail_bytes).splitlines(keepends=True)[1:])
        if tail or tail_bytes >= MAX_TAIL_BYTES:
            return [*_beginning(path, size - tail_bytes), *tail]
        tail_bytes = min(4 * tail_bytes, MAX_TAIL_BYTES)
    return parsed(_read(path, 0, size).splitlines(keepends=True)) if size else []


def _beginning(path: str | pathlib.Path, end: int) -> list[Event]:
    """The first `started` event before byte `end`: after few lines as a rule, after thousands where much was cached."""
    head_bytes = min(HEAD_BYTES, end)
    while True:
        head = _read(path, 0, head_bytes)
        at = head.find(b'"started"')
        stop = head.find(b"\n", at) + 1 if at >= 0 else 0
        if stop:
            return parsed([head[head.rfind(b"\n", 0, at) + 1 : stop]])
        if head_bytes >= min(end, MAX_HEAD_BYTES):
            return []
        head_bytes = min(4 * head_bytes, end, MAX_HEAD_BYTES)


def some(path: pathlib.Path, offset: int) -> tuple[list[Event], int]:
    """At most `EVENTS_PER_CALL` events from byte `offset` on, and the offset to go on from."""
    block_bytes = BLOCK_BYTES
    found = block(path, offset, block_bytes)
    while len(found) == block_bytes and b"\n" not in found:
        if block_bytes > LONGEST_LINE_BYTES:  # no event is so long: it is passed over, part by part
            return [], offset + len(found)
        block_bytes *= 2
        found = block(path, offset, block_bytes)
    lines = found[: found.rfind(b"\n") + 1].splitlines(keepends=True)[:EVENTS_PER_CALL]
    return parsed(lines), offset + sum(map(len, lines))


def samples(path: pathlib.Path) -> Iterator[Event]:
    """All sample events. Of a file that has only grown, only its last part is read again, up to a quarter of a GiB."""
    look = stamp(path)
    whole = look.size // WHOLE_BLOCK_BYTES
    # The line that reaches beyond a block may be half written; one that has ended says that all before it have.
    # One longer than any event does not matter.
    while whole and look.size - whole * WHOLE_BLOCK_BYTES <= LONGEST_LINE_BYTES:
        if b"\n" in block(path, whole * WHOLE_BLOCK_BYTES - 1, look.size - whole * WHOLE_BLOCK_BYTES + 1):
            break
        whole -= 1
    with contextlib.suppress(OSError):
        sign = _read(look.path, 0, SIGN_BYTES)
        for number in range(max(0, whole - MOST_BLOCKS), whole):
            yield from _samples_of_block(look.path, sign, number)
        yield from _samples_between(look.path, whole * WHOLE_BLOCK_BYTES, look.size)


@functools.lru_cache(maxsize=REMEMBERED_BLOCKS)
def _samples_of_block(path: str, sign: bytes, number: int) -> tuple[Event, ...]:
    return tuple(_samples_between(path, number * WHOLE_BLOCK_BYTES, (number + 1) * WHOLE_BLOCK_BYTES))


def _samples_between(path: str, start: int, end: int) -> list[Event]:
    """The sample events whose lines begin in these bytes of a file."""
    if start >= end:
        return []
    with open_file(path) as stream:
        # A line that begins right at `start` is told by the line end before it.
        stream.seek(max(0, start - 1))
        if start:
            stream.readline(end - start + 1)  # where it goes on behind `end`, no line begins here
        found = stream.read(max(0, end - stream.tell()))
        if found and not found.endswith(b"\n"):
            found += stream.readline(LONGEST_LINE_BYTES)
    # Parsing is what costs: of 20,000 lines only those that can be samples are parsed.
    lines = [line for line in found.splitlines(keepends=True) if b'"sample"' in line]
    return [event for event in parsed(lines) if event["kind"] == "sample"]


def parsed(lines: Sequence[bytes]) -> list[Event]:
    """The events in `lines`, without the torn ones that a kill in the middle of a write leaves."""
    usable = [line for line in lines if line.endswith(b"\n") and len(line) <= LONGEST_LINE_BYTES]
    found = _at_once(usable) or _one_by_one(usable)
    return [event for event in found if isinstance(event, dict) and isinstance(event.get("kind"), str)]


def _at_once(lines: Sequence[bytes]) -> Sequence[object]:
    """What the lines say, in a sixth of the time; nothing where not each of them is one object, whole."""
    if not all(line.startswith(b"{") for line in lines):
        return ()
    try:
        found: list[object] = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return ()
    return found if len(found) == len(lines) else ()


def _one_by_one(lines: Iterable[bytes]) -> Iterator[object]:
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue


def block(path: str | pathlib.Path, offset: int, size: int) -> bytes:
    """`size` bytes of a file, fewer at its end; none of one that is missing or cannot be read."""
    with contextlib.suppress(OSError):
        return _read(path, offset, size)
    return b""


def _read(path: str | pathlib.Path, offset: int, size: int) -> bytes:
    with open_file(path) as stream:
        stream.seek(offset)
        return stream.read(size)
