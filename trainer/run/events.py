"""What happens in a run, as typed events, one JSON line each.

Only the trainer appends; anybody reads, from an offset, and a torn last line is left for the next reading.
"""

import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import pydantic

from trainer.job.files import open_file

WRITES_PER_S = 10
LONGEST_LINE_BYTES = 4 * 2**20
"""A longer line is none of ours: the longest has all prompts in it."""


class _Event(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    time: float = pydantic.Field(default_factory=time.time)


class Started(_Event):
    """The loop is about to begin (again, when `first_step` is above 0): all lengths are exact.

    `training_s` is how long the training has taken so far, all its sittings together and its pauses left out, by a
    clock that goes on evenly.
    """

    kind: Literal["started"] = "started"
    name: str
    first_step: int
    steps: int
    steps_per_epoch: int
    epochs: int
    pictures: int
    prompts: list[str]
    device: str
    training_s: float | None = None


class Stage(_Event):
    """Progress of something before, between or after the steps; `text` is for a person."""

    kind: Literal["stage"] = "stage"
    text: str
    done: int = 0
    total: int = 0


class Step(_Event):
    """One optimizer step: its mean loss and the learning rates used (the second one None where there is none).

    `training_s` is as in `Started`; `time` is by the clock on the wall, which may jump.
    """

    kind: Literal["step"] = "step"
    step: int
    epoch: int
    loss: float
    learning_rate: float
    text_encoder_learning_rate: float | None = None
    training_s: float | None = None


class Epoch(_Event):
    """An epoch has ended; `loss` is the mean of its steps."""

    kind: Literal["epoch"] = "epoch"
    epoch: int
    step: int
    loss: float


class Sample(_Event):
    """A picture was made; `file` is relative to the run folder, `prompt` counts from 1, epoch 0 is the baseline.

    An epoch that is no whole number is one within which the picture was made: 2.25 is a quarter of the third.
    """

    kind: Literal["sample"] = "sample"
    epoch: int | float
    step: int
    prompt: int
    text: str
    seed: int
    file: str
    width_px: int
    height_px: int


class Saved(_Event):
    """A LoRA file was written, whole; `file` is relative to the run folder.

    `verified`: it was read again and holds what was learned, but for `largest_relative_error` of any layer's change,
    which is what rounding to the file's precision costs.
    """

    kind: Literal["saved"] = "saved"
    file: str
    epoch: int
    step: int
    size_bytes: int
    verified: bool
    largest_relative_error: float


class Keeping(_Event):
    """The state of `step` is about to be written, for `resume` to go on from.

    All that was told before is on the disk for good; so no step is missing from the events of a resumed run.
    """

    kind: Literal["keeping"] = "keeping"
    step: int
    epoch: int


class Asked(_Event):
    """A request was heard: it is done within a step, or at the end of the epoch where it says so."""

    kind: Literal["asked"] = "asked"
    what: str


class Paused(_Event):
    """Waits after `step`, until it is let go on or stopped; the state is kept."""

    kind: Literal["paused"] = "paused"
    step: int
    epoch: int


class Resumed(_Event):
    """Goes on after a pause."""

    kind: Literal["resumed"] = "resumed"
    step: int
    epoch: int


class Warned(_Event):
    """Something that a person should know but that does not end the run."""

    kind: Literal["warned"] = "warned"
    text: str


class Replanned(_Event):
    """Memory did not suffice for step `step`, which is done again by a plan that needs less; `text` is for a person.

    `micro_batch` pictures are computed at once; `optimizer` is the one used from now on.
    """

    kind: Literal["replanned"] = "replanned"
    step: int
    text: str
    micro_batch: int
    checkpointing: bool
    optimizer: str


class Validated(_Event):
    """The loss on pictures kept out of training."""

    kind: Literal["validated"] = "validated"
    step: int
    epoch: int
    loss: float


class Stopped(_Event):
    """Ended on request; the work is kept and `resume` goes on from `step`.

    `file` is "" when it was ended at once, so that what was learned after `step` is lost.
    """

    kind: Literal["stopped"] = "stopped"
    step: int
    epoch: int
    file: str


class Failed(_Event):
    """Ended by an error: what happened and what to do; the traceback is in log.txt.

    `action` is what a program that shows it can offer, to be done with the setting or file `target`
    (see trainer/job/trouble.py).
    """

    kind: Literal["failed"] = "failed"
    reason: str
    advice: str
    action: str = ""
    target: str = ""


class Finished(_Event):
    """All steps done; `file` is the final LoRA and `grid` the picture of all samples ("" when there are none).

    `training_s` is as in `Started`.
    """

    kind: Literal["finished"] = "finished"
    step: int
    file: str
    grid: str
    training_s: float


Told = Asked | Paused | Resumed | Warned | Replanned
Going = Started | Stage | Step | Epoch | Sample | Saved | Keeping | Told | Validated
Event = Going | Stopped | Failed | Finished


class EventLog:
    """Appends events to a file: steps and what is counted at most ten times a second, all else at once.

    So is what a count begins with: a minute may go by before the next one.

    What a full disk took only a part of is written on from there once it takes more, so no line is torn or twice.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        self._waiting = bytearray()
        self._written = 0.0
        self._mend_torn_line()

    def write(self, event: Event) -> None:
        """Appends `event`, now or with one of the next ones. Raises OSError."""
        self._waiting += event.model_dump_json().encode() + b"\n"
        gathered = isinstance(event, Step) or (isinstance(event, Stage) and event.done > 0)
        if not gathered or time.monotonic() - self._written >= 1 / WRITES_PER_S:
            self.flush(lasting=isinstance(event, Keeping | Stopped | Failed | Finished))

    def flush(self, lasting: bool = False) -> None:
        """Writes all that has been gathered; `lasting`, so that no power cut takes it away. Raises OSError."""
        if self._waiting:
            with self._path.open("ab", buffering=0) as stream:
                while self._waiting:
                    del self._waiting[: stream.write(bytes(self._waiting)) or 0]
                if lasting:
                    os.fsync(stream.fileno())
        self._written = time.monotonic()

    def _mend_torn_line(self) -> None:
        # A kill can leave half a line, a power cut zeros; without a line end the next event would be lost with it.
        if not self._path.is_file() or not self._path.stat().st_size:
            return
        with self._path.open("r+b") as stream:
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")


def read(path: pathlib.Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The events from byte `offset` on as dicts, and the offset to go on from. A missing file has none.

    Lines that are no JSON object are left out: they are what a kill in the middle of a write leaves. Raises OSError.
    """
    found = []
    try:
        with open_file(path) as stream:
            stream.seek(offset)
            for line in _lines(stream):
                if not line.endswith(b"\n") and len(line) <= LONGEST_LINE_BYTES:  # its end may still be written
                    break
                offset += len(line)
                if event := _event(line):
                    found.append(event)
    except FileNotFoundError:
        return [], offset
    return found, offset


def first(path: pathlib.Path, kind: str) -> dict[str, Any] | None:
    """The first event of a kind, and nothing behind it is read; None where there is none yet. Raises OSError."""
    with open_file(path) as stream:
        return next((event for line in _lines(stream) if (event := _event(line)) and event["kind"] == kind), None)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """The lines from here on; one that is longer than any event comes in parts, and a torn one as it is."""
    return iter(lambda: stream.readline(LONGEST_LINE_BYTES + 1), b"")


def _event(line: bytes) -> dict[str, Any] | None:
    """What a whole line says; None for any other line, and for what is no event."""
    try:
        event = json.loads(line) if line.endswith(b"\n") and len(line) <= LONGEST_LINE_BYTES else None
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "kind" in event else None
