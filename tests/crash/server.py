"""Starts trainers cheaply: a process that has imported all of the trainer forks one for each that is asked for.

It reads a JSON line for each, `{"words", "environment", "folder", "said", "fault", "kill_after_s", "seen"}`, and
answers with one: `{"status", "took_s"}`, the status being -9 after SIGKILL; a fault strikes inside of `folder`. It
never trains itself, so no thread of torch is forked.
"""

import dataclasses
import gc
import json
import os
import pathlib
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from tests.crash.faults import Disk, Fault
from trainer.__main__ import main
from trainer.engine import checkpoint, loop
from trainer.families import sd15
from trainer.run import worker
from trainer.run.folder import RunFolder
from trainer.terminal import Terminal

LOADED = (loop, sd15, Terminal)


def serve() -> None:
    """Answers until there is nobody to ask."""
    gc.freeze()  # what is shared with the children stays shared
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            be_trainer(asked)
        status = ended(child, asked.get("kill_after_s"))
        print(json.dumps({"status": status, "took_s": time.monotonic() - began}), flush=True)


def ended(child: int, kill_after_s: float | None) -> int:
    """The exit status of a child, which is killed when its time is over."""
    until = None if kill_after_s is None else time.monotonic() + kill_after_s
    while until is not None and time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    if until is not None:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def be_trainer(asked: dict[str, Any]) -> None:
    """`python -m trainer` with the words that are asked for in this process, which ends with it."""
    status = 70
    try:
        os.setsid()
        said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.environ.update(asked["environment"])
        # A tiny training is to save its state as often, for its length, as one of hours; a worker is to look as often.
        checkpoint._LARGEST_SHARE = 1.0  # type: ignore[misc]
        worker.TURN_S = worker.AFTER_TROUBLE_S = 0.02  # type: ignore[misc]
        worker.begin_trainer = forked  # type: ignore[assignment]
        disk = Disk(pathlib.Path(asked["folder"]), Fault(**asked["fault"]) if asked["fault"] else None)
        disk.install()
        status = main(asked["words"])
        sys.stdout.flush()
        if asked.get("seen"):
            pathlib.Path(asked["seen"]).write_text(json.dumps(disk.seen), encoding="utf-8")
    except BaseException:  # noqa: BLE001 the child of a fork must never return
        traceback.print_exc()
    finally:
        os._exit(status)


@dataclasses.dataclass
class Forked:
    """A trainer that a worker has begun, as far as the worker asks for it."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status once it has ended."""
        if self.returncode is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if done else None
        return self.returncode


def forked(run: RunFolder, cards: Mapping[str, str]) -> Forked:
    """What `begin_trainer` begins, without loading everything again; its number is in a file beside the run folder."""
    child = os.fork()
    if child:
        with run.path.with_suffix(".pids").open("a", encoding="utf-8") as stream:
            stream.write(f"{child}\n")
        return Forked(child)
    try:
        os.setsid()
        # A process that is begun inherits no file: otherwise it would hold the worker's locks after its death.
        os.closerange(3, 256)
        log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        main(["resume", str(run.path)])
    except BaseException:  # noqa: BLE001 the child of a fork must never return
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    serve()
