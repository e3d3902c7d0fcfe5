"""From a run folder to what a page shows of it.

Nothing is remembered between two calls but what follows from a file as it still is (see event_files.py), so a reload, a
second page and a GUI started later see the same. Every read is bounded, whatever the length of the run.
"""

import dataclasses
import functools
import math
import os
import pathlib
import re
import stat
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, NoneType
from typing import Any, Literal, NamedTuple, TypeVar

from app import event_files
from app.event_files import Event, Stamp
from app.silence import silence
from trainer.run.folder import REQUESTS, RunFolder, is_locked, pending

Told = TypeVar("Told")
State = Literal["waiting", "running", "paused", "stopped", "finished", "failed", "interrupted"]

START_GRACE_S = 30
"""So long may a new trainer take until it holds its lock; until then its run is waiting, not interrupted."""
END_GRACE_S = 5
"""A trainer that still lives so long after its last word, or says more, has been resumed and is starting again."""
TAIL_BYTES = 2 * 1024
LIVE_TAIL_BYTES = 96 * 1024
"""More of a living run is read: enough steps, and the pause between two epochs, to tell the time left."""
LOG_TAIL_BYTES = 256 * 1024
REMEMBERED_RUNS = 2048
MOST_PROMPTS, MOST_CELLS = 1000, 200_000
"""More of a table of samples is not told: an event file of half a MiB could ask for one of gigabytes."""
ENDS: Mapping[str, State] = {"stopped": "stopped", "failed": "failed", "finished": "finished"}
UNDER_WAY = ("waiting", "running", "paused")
TURNS = ("started", "paused", "resumed")
ANSWERS = {"saved": "save", "sample": "sample"}
FAILED = ("reason", "advice", "action", "target")
RATES = ("learning_rate", "text_encoder_learning_rate")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


class Look(NamedTuple):
    """How a run looks from outside: what of it can be seen without reading anything in it."""

    path: str
    created: float
    events: Stamp
    is_alive: bool
    is_new: bool
    """Nobody has begun it yet, but its trainer may still come."""

    @property
    def lies_still(self) -> bool:
        """Whether nothing but what is seen here can change what is said of it."""
        return not (self.is_alive or self.is_new)


def look(path: str) -> Look:
    """How the run in the folder `path` looks now; `created` is 0 where there is none."""
    _, job, events, lock = _files(path)
    stamp, created, alive = event_files.stamp(events), _modified(job), is_locked(lock)
    fresh = not alive and abs(time.time() - max(created, stamp.changed_ns / 1e9)) < START_GRACE_S
    return Look(path, created, stamp, alive, fresh and not os.path.exists(lock))


# Paths are put together in a tenth of the time that it takes to ask what lies there: of hundreds of runs, too long.
@functools.lru_cache(maxsize=REMEMBERED_RUNS)
def _files(path: str) -> tuple[RunFolder, str, str, str]:
    run = RunFolder(pathlib.Path(path))
    return run, str(run.job), str(run.events), str(run.lock)


def overview(run: RunFolder) -> dict[str, Any]:
    """The state of a run in a few values, from the first and last few hundred events.

    `state` is a `State`; `left_s` is None where nothing can be said; times are seconds since 1970, durations seconds;
    `asked` are the requests that no trainer has heard yet.
    """
    return dict(seen(look(str(run.path))))


def seen(look: Look) -> Mapping[str, Any]:
    """The same of a run that has been looked at."""
    try:
        return _still(look) if look.lies_still else _described(look)
    except OSError:  # it may pass, so that nothing could be read must not be remembered of the file as it is
        return {**_described(look._replace(events=Stamp(look.events.path, 0, look.events.changed_ns))), "still": False}


@functools.lru_cache(maxsize=REMEMBERED_RUNS)
def _still(look: Look) -> Mapping[str, Any]:
    return MappingProxyType(_described(look))


def _described(look: Look) -> dict[str, Any]:
    run = _files(look.path)[0]
    events = look.events if is_inside(run.events, run.path) else Stamp(look.events.path)
    told = _told(events, LIVE_TAIL_BYTES if look.is_alive else TAIL_BYTES)
    state = _living(told) if look.is_alive else _ended(told, look.is_new)
    changed = max(look.created, look.events.changed_ns / 1e9)
    return {
        "name": run.name,
        "state": state,
        **told.values,
        "left_s": told.left_s if state == "running" else None,
        "created": look.created,
        "started_at": told.started_at or look.created,
        "stage": _now(told, changed) if state in ("waiting", "running") else None,
        "asked": pending(run) if look.is_alive else [],
        **{name: told.failure[name] if state == "failed" else "" for name in FAILED},
    }


@dataclasses.dataclass(frozen=True)
class _Told:
    """What the events alone say of a run; `values` stands in its overview as it is, the rest in some states."""

    values: Mapping[str, Any]
    is_empty: bool
    turn: Event
    is_last_turn: bool
    left_s: float | None
    slowest_s: float
    started_at: float | None
    stage: Mapping[str, Any] | None
    failure: Mapping[str, str]


# What lies still is not read again: of hundreds of runs, that is all but one.
@functools.lru_cache(maxsize=REMEMBERED_RUNS)
def _told(look: Stamp, tail_bytes: int) -> _Told:
    events = event_files.ends(look.path, look.size, tail_bytes)
    # Many samples with long prompts may follow the last step.
    if tail_bytes < min(look.size, LIVE_TAIL_BYTES) and not _last(events, "step"):
        return _told(look, LIVE_TAIL_BYTES)
    started, last = _last(events, "started"), events[-1] if events else {}
    steps, step = _whole(started.get("steps")), _reached(events)
    turn: Event = next((event for event in reversed(events) if event["kind"] in ENDS or event["kind"] in TURNS), {})
    values = {
        "step": step,
        "steps": steps,
        "epoch": _epoch(started, step),
        "epochs": _whole(started.get("epochs")),
        "loss": _number(_last(_not_lost(events), "step").get("loss")),
        "draws": bool(started.get("prompts")),
        "duration_s": _duration_s(events),
        "seen_at": _number(last.get("time")),
    }
    return _Told(
        values=MappingProxyType(values),
        is_empty=not events,
        turn=MappingProxyType({key: turn[key] for key in ("kind", "time") if key in turn}),
        is_last_turn=turn is last,
        left_s=_left_s(events, steps - step),
        slowest_s=max(_paces(events)[0], default=0.0),
        started_at=_number(_first(events, "started").get("time")),
        stage=_stage(last),
        failure={name: str(last.get(name, "")) for name in FAILED},
    )


def updates(run: RunFolder, offset: int) -> dict[str, Any]:
    """What has happened since byte `offset` of the events, at most `event_files.EVENTS_PER_CALL` events of it.

    `next` is the offset to go on from, `more` whether there is more already, `reset` whether the events are shorter
    than `offset`, that is, other ones than before. `rows` are `[step, loss, learning rate, second learning rate]`.
    `back_to` is the step from which a resumed run has begun anew, None where it has not: what the reader has from there
    on is replaced by `rows`. `asked`: requests that were heard, and whether they are still open. `grid` is the picture
    of all samples, once there is one.
    """
    size = event_files.stamp(run.events).size
    reset = offset < 0 or offset > size
    offset = 0 if reset else offset
    events, following = event_files.some(run.events, offset)
    rows, back_to = _rows(events)
    rare = [event for event in events if event["kind"] != "step"]
    return {
        "next": following,
        "more": following < size and following > offset,
        "reset": reset,
        "back_to": back_to,
        "rows": rows,
        "epochs": [
            [_whole(e.get("epoch")), _whole(e.get("step")), _number(e.get("loss"))] for e in _lasting(rare, "epoch")
        ],
        "validated": [[_whole(e.get("step")), _number(e.get("loss"))] for e in _lasting(rare, "validated")],
        "samples": [_sample(event) for event in _of(rare, "sample")],
        "saved": [_saved(event) for event in _of(rare, "saved")],
        "warnings": [{"text": str(e.get("text", ""))} for e in rare if e["kind"] in ("warned", "replanned")],
        "asked": _heard(rare),
        "grid": _base_name(_last(rare, "finished").get("grid")),
    }


def sample_table(run: RunFolder) -> dict[str, Any]:
    """The samples that still exist, as epochs × prompts with the base row (epoch 0) first.

    `prompts` are `{"prompt", "text"}` in their order; `rows` are `{"epoch", "step", "cells"}` with one cell for each
    prompt, None where there is no picture.
    """
    there = {entry.name for entry in _entries(run.samples)}
    cells = {(s["epoch"], s["prompt"]): s for s in map(_sample, event_files.samples(run.events)) if s["file"] in there}
    numbers = sorted({prompt for _, prompt in cells})[:MOST_PROMPTS]
    epochs = sorted({epoch for epoch, _ in cells})[: MOST_CELLS // max(1, len(numbers))]
    texts = {sample["prompt"]: sample["text"] for sample in cells.values()}
    rows = [{"epoch": epoch, "cells": [cells.get((epoch, number)) for number in numbers]} for epoch in epochs]
    for row in rows:
        row["step"] = max((cell["step"] for cell in row["cells"] if cell), default=0)
    return {"prompts": [{"prompt": number, "text": texts[number]} for number in numbers], "rows": rows}


def sample_version(run: RunFolder) -> str:
    """It changes whenever what `sample_table` says does: with each sample that is told of, and each picture's name."""
    told = list(event_files.samples(run.events))
    last = told[-1].get("time") if told else 0
    there = event_files.stamp(run.samples)
    return f"{len(told)}-{_whole(1000 * (_number(last) or 0.0))}-{there.changed_ns:x}-{there.node:x}"


def log_tail(run: RunFolder, lines: int) -> str:
    """The last `lines` lines of log.txt, without terminal colours and with only the last state of progress bars.

    None of a log that is a link out of the run.
    """
    if not is_inside(run.log, run.path):
        return ""
    start = max(0, event_files.stamp(run.log).size - LOG_TAIL_BYTES)
    text = event_files.block(run.log, start, LOG_TAIL_BYTES).decode("utf-8", errors="replace")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in ESCAPES.sub("", text).split("\n")]
    if shown and not shown[-1]:
        shown.pop()
    return "\n".join(shown[-lines:] if lines > 0 else [])


def is_inside(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether `path`, links followed, lies in `folder`, which may be reached by a link itself."""
    return pathlib.Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _living(told: _Told) -> State:
    """The state of a run whose trainer lives."""
    end = ENDS.get(str(told.turn.get("kind", "")))
    if end is None:
        return "paused" if told.turn.get("kind") == "paused" else "waiting" if told.is_empty else "running"
    return end if told.is_last_turn and _age_s(told.turn) < END_GRACE_S else "waiting"


def _ended(told: _Told, is_new: bool) -> State:
    """The state of a run without a trainer, which may still come where it `is_new`."""
    end = ENDS.get(str(told.turn.get("kind", "")))
    if end is not None:
        # What was told after the end is of a trainer that was begun anew, and did not come to an end.
        return end if told.is_last_turn else "interrupted"
    return "waiting" if is_new and not told.turn else "interrupted"


def _left_s(events: Sequence[Event], steps: int) -> float | None:
    """Seconds that `steps` more steps take, with what lies between epochs (samples, saving) at the rate seen so far.

    Only neighbouring steps are timed, by a clock that nobody sets, so a pause, a resume or a sleeping computer counts
    for nothing.
    """
    paces, gaps = _paces(events)
    if not paces or steps <= 0:
        return 0.0 if steps <= 0 and paces else None
    usual = statistics.median(paces)
    pace = statistics.fmean(seconds for seconds in paces if seconds <= 5 * usual)
    per_epoch = _whole(_last(events, "started").get("steps_per_epoch"))
    between = statistics.median(gaps) * (steps // per_epoch) if gaps and per_epoch else 0.0
    return pace * steps + between


def _paces(events: Sequence[Event]) -> tuple[list[float], list[float]]:
    """Seconds per step between neighbouring steps, and seconds between the last step of an epoch and the next step."""
    paces, gaps = [], []
    before: Event = {}
    between: set[str] = set()
    for event in events:
        if event["kind"] != "step":
            between.add(event["kind"])
            continue
        steps = _whole(event.get("step")) - _whole(before.get("step"))
        seconds = _between_s(before, event)
        if before and steps > 0 and seconds >= 0:
            if not between:
                paces.append(seconds / steps)
            elif "epoch" in between and "started" not in between:
                gaps.append(seconds)
        before, between = event, set()
    return paces, gaps


def _between_s(one: Event, other: Event) -> float:
    """Seconds from one event to another; negative for what only a clock that was set back can say."""
    begun, ended = (_number(event.get("training_s")) for event in (one, other))
    if begun is None or ended is None:  # of before that was told
        begun, ended = (_number(event.get("time")) or 0.0 for event in (one, other))
    return ended - begun


def _rows(events: Iterable[Event]) -> tuple[list[tuple[Any, ...]], int | None]:
    rows: list[tuple[Any, ...]] = []
    back_to: int | None = None
    steps: list[Event] = []
    for event in events:
        if event["kind"] == "step":
            steps.append(event)
        elif event["kind"] == "started":
            # Its steps count from first_step + 1, so everything above first_step is done again.
            again = _whole(event.get("first_step")) + 1
            back_to = again if back_to is None else min(back_to, again)
            rows += _columns(steps)
            _take_back(rows, again, lambda row: row[0])
            steps = []
    return [*rows, *_columns(steps)], back_to


def _columns(steps: Sequence[Event]) -> Iterator[tuple[Any, ...]]:
    # Column by column: of 20,000 steps the numbers are looked through in a fifth of the time.
    numbers, *others = (_numbers(steps, name) for name in ("step", "loss", *RATES))
    return zip(numbers if set(map(type, numbers)) == {int} else map(_whole, numbers), *others, strict=True)


def _numbers(events: Sequence[Event], name: str) -> list[float | None]:
    """Of each event what `_number` says of this value."""
    found: list[Any] = [event.get(name) for event in events]
    kinds = set(map(type, found))
    if kinds <= {NoneType} or (kinds <= {int, float} and all(-1e300 < value < 1e300 for value in found)):
        return found
    return list(map(_number, found))


def _heard(events: Iterable[Event]) -> dict[str, bool]:
    """Requests whose trainer has heard of them, or been begun anew, and whether they are still to be carried out."""
    found: dict[str, bool] = {}
    for event in events:
        if event["kind"] == "asked":
            found[str(event.get("what"))] = True
        elif event["kind"] in ANSWERS:
            found[ANSWERS[event["kind"]]] = False
        elif event["kind"] == "started" or event["kind"] in ENDS:
            found = dict.fromkeys(REQUESTS, False)
    return found


def _lasting(events: Iterable[Event], kind: str) -> list[Event]:
    """The events of a kind without those whose steps a resumed run has done again."""
    found: list[Event] = []
    for event in events:
        if event["kind"] == "started":
            _take_back(found, _whole(event.get("first_step")) + 1, _step_of)
        if event["kind"] == kind:
            # Of a step that was the last one before a kill, the end of the epoch may be told again.
            if found and _step_of(found[-1]) == _step_of(event):
                found.pop()
            found.append(event)
    return found


def _step_of(event: Event) -> int:
    return _whole(event.get("step"))


def _take_back(told: list[Told], step: int, step_of: Callable[[Told], int]) -> None:
    """Takes away what was told of `step` and later: it comes last, since steps only go up until a run is resumed."""
    while told and step_of(told[-1]) >= step:
        told.pop()


def _sample(event: Event) -> dict[str, Any]:
    return {
        "epoch": _number(event.get("epoch")) or 0,
        "step": _whole(event.get("step")),
        "prompt": _whole(event.get("prompt")),
        "text": str(event.get("text", "")),
        "seed": _whole(event.get("seed")),
        "file": _file_name(event),
        "width": _whole(event.get("width_px")),
        "height": _whole(event.get("height_px")),
        # A resumed run may draw a picture again under the same name.
        "version": _whole(1000 * (_number(event.get("time")) or 0.0)),
    }


def _saved(event: Event) -> dict[str, Any]:
    size = {"size_bytes": _whole(event.get("size_bytes"))}
    return {"file": _file_name(event), "epoch": _whole(event.get("epoch")), "step": _whole(event.get("step")), **size}


def _now(told: _Told, heard_at: float) -> Mapping[str, Any] | None:
    """What a run is at between steps; or that its trainer lives, but has not been heard of for long."""
    silent = silence(heard_at, told.slowest_s, told.stage["text"] if told.stage else "")
    return {"text": silent, "done": 0, "total": 0} if silent else told.stage


def _stage(event: Event) -> dict[str, Any] | None:
    if event.get("kind") != "stage":
        return None
    return {"text": str(event.get("text", "")), "done": _whole(event.get("done")), "total": _whole(event.get("total"))}


def _reached(events: Sequence[Event]) -> int:
    """The last step done; a resumed run counts from where it went on."""
    for event in reversed(events):
        if event["kind"] in ("step", "epoch", "sample", "saved", "stopped", "finished"):
            return _whole(event.get("step"))
        if event["kind"] == "started":
            return _whole(event.get("first_step"))
    return 0


def _not_lost(events: Sequence[Event]) -> Sequence[Event]:
    """The steps that count: of those before the last trainer began, the ones up to where it went on."""
    began = max((at for at, event in enumerate(events) if event["kind"] == "started"), default=0)
    first = _whole(events[began].get("first_step")) if events else 0
    steps = [event for event in events[:began] if event["kind"] == "step" and _whole(event.get("step")) <= first]
    return [*steps, *events[began:]]


def _epoch(started: Event, step: int) -> int:
    """The epoch under way after `step` steps, counted from 1."""
    per_epoch = _whole(started.get("steps_per_epoch"))
    if not per_epoch:
        return 0
    return min(max(1, math.ceil(step / per_epoch)), max(1, _whole(started.get("epochs"))))


def _duration_s(events: Sequence[Event]) -> float | None:
    """Seconds of training, all its sittings together; what came after the last step is taken from the clock."""
    told = next((event for event in reversed(events) if _number(event.get("training_s")) is not None), {})
    told = told or _last(events, "started")  # of before that was told
    if not told:
        return None
    spent = _number(told.get("training_s")) or 0.0
    after = (_number(events[-1].get("time")) or 0.0) - (_number(told.get("time")) or 0.0)
    return spent if told["kind"] == "finished" else spent + max(0.0, after)


def _entries(folder: pathlib.Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file()]
    except OSError:
        return []


def _modified(path: str) -> float:
    """When a file was written, in seconds since 1970; 0 where there is none to be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return 0.0
    return status.st_mtime if stat.S_ISREG(status.st_mode) else 0.0


def _of(events: Iterable[Event], kind: str) -> Iterator[Event]:
    return (event for event in events if event["kind"] == kind)


def _first(events: Iterable[Event], kind: str) -> Event:
    return next(_of(events, kind), {})


def _last(events: Sequence[Event], kind: str) -> Event:
    return next(_of(reversed(events), kind), {})


def _age_s(event: Event) -> float:
    # What a clock that was set back since makes of the future is just as long ago.
    return abs(time.time() - (_number(event.get("time")) or 0.0))


def _number(value: object) -> float | None:
    """`value` as a number that JSON can carry, None for anything else (a diverged loss is not a number)."""
    # Asked for every number of every step: by its very type, which is what JSON gives and what is no bool.
    usable = type(value) in (float, int) and -1e300 < value < 1e300  # type: ignore[operator]
    return value if usable else None  # type: ignore[return-value]


def _whole(value: object) -> int:
    number = _number(value)
    return 0 if number is None else int(number)


def _file_name(event: Event) -> str:
    return _base_name(event.get("file"))


def _base_name(path: object) -> str:
    return str(path or "").replace("\\", "/").rpartition("/")[2]
