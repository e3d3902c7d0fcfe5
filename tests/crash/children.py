"""A process that has imported what its children need, and forks one for each that is asked for, which costs little.

It reads a JSON line for each and answers with one: `{"status", "took_s"}`, the status being -9 after SIGKILL. What is
asked has `kill_after_s`, None for never, and `said`, the file for all that the child prints.
"""

import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

Be = Callable[[dict[str, Any]], int]


def serve(be: Be) -> None:
    """Answers until there is nobody to ask; a child does `be`, which gives its exit status, and ends with it."""
    gc.freeze()  # what is shared with the children stays shared
    for line in sys.stdin:
        asked = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _be_child(be, asked)
        status = _ended(child, asked["kill_after_s"])
        print(json.dumps({"status": status, "took_s": time.monotonic() - began}), flush=True)


def _be_child(be: Be, asked: dict[str, Any]) -> None:
    status = 70
    try:
        os.setsid()
        said = os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        status = be(asked)
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 the child of a fork must never return
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(child: int, kill_after_s: float | None) -> int:
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
