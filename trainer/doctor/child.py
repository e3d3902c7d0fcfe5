"""Measures in a process of its own with a limit of time, so that a crash or a hang there becomes a fact here."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Ended = Literal["well", "late", "crashed", "failed"]
_ROOT = pathlib.Path(__file__).parents[2]
_LAST_BREATH_S = 2.0
_MOST_BYTES = 2**20
# How Windows names the two ways in which native code ends a process (ntstatus.h).
_OF_WINDOWS = {0xC0000005: "access violation", 0xC000001D: "illegal instruction"}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a probe has told, and how it ended; `words` is its last line of complaint, or the name of its crash."""

    facts: Mapping[str, Any]
    ended: Ended = "well"
    words: str = ""


@dataclasses.dataclass(frozen=True)
class Child:
    """A probe at work. `folder` holds what it prints: files, since a pipe can be held open by what it has begun."""

    folder: pathlib.Path
    process: "subprocess.Popen[bytes] | None"
    until: float
    problem: str = ""


def begin(command: Sequence[str], limit_s: float, places: Mapping[str, str]) -> Child:
    """Begins `python command…`, to be done within `limit_s` seconds; `places` is added to its environment."""
    until = time.monotonic() + limit_s
    folder = pathlib.Path()
    search = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = {"PYTHONPATH": search, "PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8", "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="lora-atelier-doctor-"))
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **told, **places},
                **_apart(),
            )
    except OSError as error:
        return Child(folder, None, until, str(error))
    return Child(folder, process, until)


def _apart() -> dict[str, Any]:
    """A group of its own, so that what a probe has begun ends with it."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}


def outcome(child: Child) -> Outcome:
    """Waits for the end of a probe, or ends it when its time is over."""
    if child.process is None:
        return Outcome({}, "failed", child.problem)
    try:
        status = child.process.wait(max(0.0, child.until - time.monotonic()))
    except subprocess.TimeoutExpired:
        end(child)
        return Outcome(_told(child), "late")
    if status == 0:
        return Outcome(_told(child))
    if crash := _crash(status):
        return Outcome(_told(child), "crashed", crash)
    return Outcome(_told(child), "failed", _complaint(child))


def _crash(status: int) -> str:
    """The name of a crash, "" for an end of the program's own making."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-status).name
        return f"signal {-status}"
    return _OF_WINDOWS.get(status, f"{status:#x}" if status >= 0xC0000000 else "")


def _told(child: Child) -> dict[str, Any]:
    """All facts together; a line that a crash has torn is left out."""
    found: dict[str, Any] = {}
    for line in _read(child, "stdout").splitlines():
        with contextlib.suppress(ValueError):
            fact = json.loads(line)
            found |= fact if isinstance(fact, dict) else {}
    return found


def _complaint(child: Child) -> str:
    lines = [line.strip() for line in _read(child, "stderr").splitlines() if line.strip()]
    return lines[-1] if lines else "?"


def _read(child: Child, name: str) -> str:
    try:
        with (child.folder / name).open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _MOST_BYTES))
            return stream.read().decode("utf-8", "replace")
    except OSError:
        return ""


def end(child: Child) -> None:
    """Ends a probe, if need be by force; one that the system itself does not let go of is left behind."""
    if child.process is None or child.process.poll() is not None:
        return
    if os.name == "nt":
        child.process.kill()
    else:
        with contextlib.suppress(OSError):
            os.killpg(child.process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.process.wait(_LAST_BREATH_S)


def forget(child: Child) -> None:
    """Ends a probe and takes away what it has printed."""
    end(child)
    if child.folder != pathlib.Path():
        shutil.rmtree(child.folder, ignore_errors=True)
