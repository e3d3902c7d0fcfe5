"""What can be known of a run whose trainer has ended without a word, from its folder and the system."""

import contextlib
import pathlib
import signal
from collections.abc import Sequence
from typing import Any

from app import event_files, watch
from app.event_files import Event
from app.words import say
from trainer.job.words import say as trainer_says
from trainer.run import ending
from trainer.run.ending import Ending
from trainer.run.folder import RunFolder

CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGABRT", "SIGFPE", "SIGTRAP")
FAULT = "Fatal Python error"
"""How Python begins what it writes into the log when a library has crashed."""
LOG_LINES = 400
TAIL_BYTES = 4 * 2**20
"""Of the events so many last ones are read, thousands of steps: more than lie between two saved states."""
CLOCK_S = 0.05
"""So much may the time of a file lag behind the clock."""
_SYSTEM = pathlib.Path("/proc/stat")


def told(run: RunFolder) -> dict[str, Any]:
    """Why an interrupted run probably is so and what to do, since when, and what will be done again.

    `since` is its last sign of life in seconds since 1970, None where it never gave one; `kept_step` the step of the
    saved state, 0 where there is none; `again` how many steps after that one were done and are lost.
    """
    look = event_files.stamp(run.events)
    happened = event_files.ends(run.events, look.size, TAIL_BYTES)
    since = _number(happened[-1], "time") if happened else None
    kept = _kept_step(run, happened)
    done = max((int(_number(event, "step")) for event in happened if event["kind"] == "step"), default=0)
    word, values = _cause(run, since or 0.0)
    return {
        "reason": say(f"interrupted.{word}", **values),
        "advice": say(f"interrupted.{word}_advice"),
        "action": "open_doctor" if word == "crashed" else "",
        "since": since,
        "kept_step": kept,
        "again": max(0, done - kept),
    }


def _kept_step(run: RunFolder, happened: Sequence[Event]) -> int:
    """The step of the newest state that was whole before the end: announced, and then written."""
    written = max((path.stat().st_mtime for path in run.state.glob("[!.]*")), default=0.0)
    for event in reversed(happened):
        if event["kind"] == "keeping" and _number(event, "time") <= written + CLOCK_S:
            return int(_number(event, "step"))
    return 0


def _number(event: Event, name: str) -> float:
    found = event.get(name)
    return found if isinstance(found, int | float) and abs(found) < 1e15 else 0.0


def _cause(run: RunFolder, since: float) -> tuple[str, dict[str, str]]:
    """The key of the likeliest cause, and what its sentence names."""
    begins = trainer_says("stage_program")
    found = ending.read(run)
    if found and found.time >= since:
        return _cause_seen(found)
    _, fault, after = watch.log_tail(run, LOG_LINES).rpartition(FAULT)
    if fault and begins not in after:
        return "crashed", {"what": (fault + after).splitlines()[0]}
    return ("restarted" if since < _system_began() else "unknown"), {}


def _cause_seen(found: Ending) -> tuple[str, dict[str, str]]:
    what = _signal_name(found.status)
    if what in CRASHES or found.status > 0:
        return "crashed", {"what": what}
    if what == "SIGKILL":
        return "starved" if found.starved else "killed", {}
    return "ended", {"what": what}


def _signal_name(status: int) -> str:
    with contextlib.suppress(ValueError):
        return signal.Signals(-status).name
    return f"0x{status:X}" if status > 0 else str(status)


def _system_began() -> float:
    """When the system was started, in seconds since 1970; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        counts = dict(line.split(maxsplit=1) for line in _SYSTEM.read_text(encoding="ascii").splitlines())
        return float(counts["btime"])
    return 0.0
