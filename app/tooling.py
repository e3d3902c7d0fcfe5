"""Runs the trainer's tools, each as a process of its own, and tells what has become of them."""

import base64
import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Sequence
from typing import Any

from app import thumbs, tool_form, tool_results
from app.tool_form import Values, Wrong
from app.words import say
from trainer.run.process import apart, environment

PATIENCE_S = 3.0
"""So long may a tool take to end by itself when it is cancelled; longer only while it has a file open to write."""
LONGEST_S = 60.0
PICTURE = "strength.png"


@dataclasses.dataclass
class Task:
    """One call of a tool. `folder` holds what it prints: files, never pipes, since nobody need be there to read."""

    name: str
    tool: str
    folder: pathlib.Path
    out: pathlib.Path | None
    process: "subprocess.Popen[bytes]"
    cancelled: bool = False

    def printed(self, name: str) -> str:
        """What it has printed to `stdout` or `stderr` so far."""
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")


class Bench:
    """The tools of one running program: at most one call of each, shared by all of its pages."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()

    def begin(self, tool: str, values: Values) -> dict[str, str]:
        """Starts a tool; `problem` and `field` say what is wrong with what was entered, "" when nothing is."""
        if tool not in tool_form.TOOLS:
            return {"field": "", "problem": say("tools.unknown")}
        try:
            words, out = tool_form.arguments(tool, values)
            with self._lock:
                before = self._tasks.get(tool)
                if before is not None and before.process.poll() is None:
                    return {"field": "", "problem": say("tools.busy")}
                self._tasks[tool] = _started(words, out)
                if before is not None:
                    _forget(before)
        except Wrong as error:
            return {"field": error.field, "problem": str(error)}
        except OSError as error:
            return {"field": "", "problem": say("tools.not_started", reason=error.strerror or error)}
        return {"field": "", "problem": ""}

    def state(self, tool: str, known: str) -> dict[str, Any]:
        """What has become of the last call: `state` is none, running, cancelling, cancelled, done, refused or failed.

        `version` names what is told of a call that has ended; one who knows it gets only `state` same.
        """
        task = self._tasks.get(tool)
        if task is None:
            return {"state": "none", "version": ""}
        status = task.process.poll()
        if status is None:
            so_far = _so_far(task)
            return {"state": "cancelling" if task.cancelled else "running", "version": "", **so_far}
        if task.name == known:
            return {"state": "same", "version": known}
        return {"version": task.name, **_ended(task, status)}

    def cancel(self, tool: str) -> None:
        """Ends a running call; what it has not finished is not there."""
        task = self._tasks.get(tool)
        if task is not None and task.process.poll() is None and not task.cancelled:
            task.cancelled = True
            threading.Thread(target=_end, args=(task,), daemon=True, name=f"cancel {tool}").start()

    def picture(self) -> str:
        """The strengths that the last inspection has drawn, as the address of a PNG; "" where there are none."""
        task = self._tasks.get("inspect")
        path = task.folder / PICTURE if task else pathlib.Path()
        if not path.is_file():
            return ""
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

    def close(self) -> None:
        """Ends all running calls: their results would be shown to nobody."""
        for task in self._tasks.values():
            task.cancelled = True
            _end(task)
            _forget(task)


def _started(words: Sequence[str], out: pathlib.Path | None) -> Task:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lora-atelier-"))
    picture = ["--picture", str(folder / PICTURE)] if words[0] == "inspect" else []
    # By itself, the doctor starts where the rest of the trainer cannot.
    verb = ["trainer.doctor", *words[1:]] if words[0] == "doctor" else ["trainer", *words]
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *verb, *picture],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=folder,
            env=environment(os.environ),
            **apart(),
        )
    return Task(uuid.uuid4().hex, words[0], folder, out, process)


def _so_far(task: Task) -> dict[str, Any]:
    """What a running call tells: how far it is, or what the doctor has found."""
    printed = task.printed("stdout")
    if task.tool == "try":
        return {**tool_results.progress(""), "said": tool_results.last_line(printed)}
    return {"examined": tool_results.examined(printed)} if task.tool == "doctor" else tool_results.progress(printed)


def _ended(task: Task, status: int) -> dict[str, Any]:
    """How a call has ended, by its exit status: 0 done, 2 refused; for the doctor 1 too is done."""
    if status != 0 and task.cancelled and task.tool == "try":
        return {"state": "cancelled", "text": say("tools.cancelled_try")}
    if status != 0 and task.cancelled:
        whole = task.out is not None and task.out.exists()
        return {"state": "cancelled", "text": say("tools.cancelled_late" if whole else "tools.cancelled")}
    try:
        if task.tool == "doctor" and status in (0, 1) and (found := tool_results.examined(task.printed("stdout"))):
            return {"state": "done", "examined": found}
        if status == 0 and task.out is None:
            return {"state": "done", "report": tool_results.report(task.printed("stdout"))}
        if status == 0 and task.out is not None and task.tool == "try":
            return {
                "state": "done",
                "grid": {"path": str(task.out), **thumbs.ticket(task.out, task.out.stat().st_mtime_ns)},
            }
        if status == 0 and task.out is not None:
            said = tool_results.sentences(task.printed("stdout"))
            return {"state": "done", "lines": said, "path": str(task.out), "size_bytes": task.out.stat().st_size}
        sentence = tool_results.refusal(task.printed("stderr"))
    except (OSError, ValueError, KeyError) as error:
        return {"state": "failed", "text": say("tools.failed"), "details": str(error)}
    if status == 2 and sentence:
        return {"state": "refused", "text": sentence}
    lines = task.printed("stderr").strip().splitlines()
    return {"state": "failed", "text": say("tools.failed"), "details": "\n".join(lines[-12:])}


def _end(task: Task) -> None:
    """Asks the process to end, which takes its half-written file away, and kills it when it does not."""
    if task.process.poll() is not None:
        return
    task.process.terminate()
    waited_s = 0.0
    while waited_s < PATIENCE_S or (_writing(task) and waited_s < LONGEST_S):
        with contextlib.suppress(subprocess.TimeoutExpired):
            task.process.wait(0.2)
            return
        waited_s += 0.2
    task.process.kill()
    task.process.wait()


def _writing(task: Task) -> bool:
    return task.out is not None and any(task.out.parent.glob(".*.new"))


def _forget(task: Task) -> None:
    shutil.rmtree(task.folder, ignore_errors=True)
