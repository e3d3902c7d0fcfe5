"""How a trainer has ended that could not say so itself: noted in the run folder by the program that began it."""

import collections
import contextlib
import json
import os
import pathlib
import time
from typing import NamedTuple

from trainer.job.files import open_file
from trainer.job.trouble import Trouble
from trainer.run import events
from trainer.run.folder import Busy, RunFolder, held, write_whole

ENDS = ("stopped", "failed", "finished")
LARGEST_BYTES = 4096
LAST_WORDS_BYTES = 4096
_COUNTERS = pathlib.Path("/proc/vmstat")


class Ending(NamedTuple):
    """When (in seconds since 1970) a trainer was ended, by which signal, and whether memory was short.

    `status` is the exit status as `subprocess` tells it: the negative signal, on Windows the code of the fault.
    `starved`: meanwhile the system has ended some process, most likely this one, because the memory ran out.
    """

    time: float
    status: int
    starved: bool


class Before(NamedTuple):
    """What there was before a trainer began: bytes of events and log, and processes ended for lack of memory."""

    events_bytes: int
    log_bytes: int
    starved: int


def before(run: RunFolder) -> Before:
    """What there is now, to be compared once the trainer that is about to begin has ended."""
    return Before(_size(run.events), _size(run.log), _processes_starved())


def note(run: RunFolder, status: int, began: Before) -> None:
    """Notes how the trainer that `began` has ended, with this exit status, unless its events say so.

    One that was ended by a signal is interrupted, and the note says by which; one that ended by itself without a
    last word has failed, and gets the event that says so.
    """
    # A disk that takes not even this must not end the program that only looks on.
    with contextlib.suppress(OSError, Busy):
        # Of one that is finished a trainer that is begun all the same has nothing to do and to say.
        if status == 0 or last_end(run, began.events_bytes) or last_end(run) == "finished":
            return
        if status < 0 or status > 255:
            starved = _processes_starved() > began.starved
            text = json.dumps(Ending(time.time(), status, starved)._asdict())
            write_whole(run.ending, lambda stream: stream.write(text.encode()), anew=False)
            return
        trouble = Trouble("trainer_silent", reason=_last_line(run.log, began.log_bytes) or status)
        with held(run):
            log = events.EventLog(run.events)
            log.write(events.Failed(reason=trouble.reason, advice=trouble.advice, **trouble.remedy._asdict()))


def last_end(run: RunFolder, offset: int = 0) -> str:
    """How the events from byte `offset` on say that a trainer has ended last, "" where they do not. Raises OSError."""
    ends = (event["kind"] for event in events.read(run.events, offset)[0] if event["kind"] in ENDS)
    return next(iter(collections.deque(ends, maxlen=1)), "")


def read(run: RunFolder) -> Ending | None:
    """What was noted last; None where nothing was, or nothing that makes sense."""
    try:
        with open_file(run.ending) as stream:
            found = json.loads(stream.read(LARGEST_BYTES))
        return Ending(float(found["time"]), int(found["status"]), bool(found["starved"]))
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def _last_line(log: pathlib.Path, since: int) -> str:
    """The last line that was printed after byte `since`, "" where nothing was."""
    with contextlib.suppress(OSError), log.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(since, end - LAST_WORDS_BYTES))
        lines = stream.read(LAST_WORDS_BYTES).decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")
    return ""


def _processes_starved() -> int:
    """How many processes the system has ended for lack of memory since it was started; 0 where it does not count."""
    with contextlib.suppress(OSError, ValueError):
        counts = dict(line.split() for line in _COUNTERS.read_text(encoding="ascii").splitlines())
        return int(counts.get("oom_kill", "0"))
    return 0


def _size(path: pathlib.Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
