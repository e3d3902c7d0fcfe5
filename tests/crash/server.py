"""Starts trainers cheaply: a process that has imported all of the trainer forks one for each that is asked for.

It reads a JSON line for each, `{"run", "said", "fault", "kill_after_s", "seen"}`, and answers with one:
`{"status", "took_s"}`, the status being -9 after SIGKILL. It never trains itself, so no thread of torch is forked.
"""

import gc
import json
import os
import pathlib
import signal
import sys
import time
import traceback
from typing import Any

from tests.crash.faults import Disk, Fault
from trainer.__main__ import main
from trainer.engine import checkpoint, loop
from trainer.families import sd15
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
    """`python -m trainer resume RUN` in this process, which ends with it."""
    status = 70
    try:
        os.setsid()
        said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        # A tiny training is to save its state as often, for its length, as one of hours.
        checkpoint._LARGEST_SHARE = 1.0  # type: ignore[misc]
        disk = Disk(pathlib.Path(asked["run"]), Fault(**asked["fault"]) if asked["fault"] else None)
        disk.install()
        status = main(["resume", asked["run"]])
        sys.stdout.flush()
        if asked.get("seen"):
            pathlib.Path(asked["seen"]).write_text(json.dumps(disk.seen), encoding="utf-8")
    except BaseException:  # noqa: BLE001 the child of a fork must never return
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
