"""Starts trainers and workers of the queue cheaply (see children.py).

What is asked has `words` and `environment`, those of a call of `python -m trainer`, `folder` and `fault`, which strikes
inside of it, and `seen`, the file for the operations on that folder. It never trains itself, so no thread of torch is
forked.
"""

import dataclasses
import json
import os
import pathlib
import traceback
from collections.abc import Mapping
from typing import Any

from tests.crash.children import serve
from tests.crash.faults import Disk, Fault
from trainer.__main__ import main
from trainer.engine import checkpoint, loop
from trainer.families import sd15
from trainer.run import worker
from trainer.run.folder import RunFolder
from trainer.terminal import Terminal

LOADED = (loop, sd15, Terminal)


def be_trainer(asked: dict[str, Any]) -> int:
    """`python -m trainer` with the words that are asked for, in this process."""
    os.environ.update(asked["environment"])
    # A tiny training is to save its state as often, for its length, as one of hours; a worker is to look as often.
    checkpoint._LARGEST_SHARE = 1.0  # type: ignore[misc]
    worker.TURN_S = worker.AFTER_TROUBLE_S = 0.02  # type: ignore[misc]
    worker.begin_trainer = forked  # type: ignore[assignment]
    disk = Disk(pathlib.Path(asked["folder"]), Fault(**asked["fault"]) if asked["fault"] else None)
    disk.install()
    status = main(asked["words"])
    beside = pathlib.Path(asked["seen"]).with_suffix(".new")  # a kill may come in this moment, too
    beside.write_text(json.dumps([disk.seen, disk.struck]), encoding="utf-8")
    beside.replace(asked["seen"])
    return status


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
    serve(be_trainer)
