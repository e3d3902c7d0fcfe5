"""Begins processes that outlive the one that begins them: trainers, and the worker of the queue."""

import os
import pathlib
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.run.folder import RunFolder
from trainer.run.home import default_outputs, home

HUB_HELD_BACK = "LORA_ATELIER_HUB_OFFLINE"
"""Set where this program, not its user, has set HF_HUB_OFFLINE."""

NO_TELEMETRY: Mapping[str, str] = types.MappingProxyType(
    dict.fromkeys(("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK"), "1")
)
"""What keeps the libraries from telling others that they are used."""


BEGUN = "LORA_ATELIER_BEGUN"
"""Tells a trainer when it was begun: what is asked of it from then on, it has to answer."""


def begin_trainer(run: RunFolder, cards: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A trainer that carries on with `run`; `cards` is what the environment tells it of its device. Raises OSError."""
    return _begin(["resume", str(run.path)], run.log, {**environment(os.environ), **cards, BEGUN: str(time.time())})


def begin_worker() -> "subprocess.Popen[bytes]":
    """A worker for the queue, which ends at once where there is one already. Raises OSError."""
    places = {"LORA_ATELIER_HOME": str(home()), "LORA_ATELIER_OUTPUTS": str(default_outputs())}
    log = home() / "queue" / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    return _begin(["queue", "work"], log, {**environment(os.environ), **places})


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a trainer inherits of the environment `own`: not what was set for the GUI alone."""
    root = str(pathlib.Path(__file__).parents[2])
    inherited = {name: value for name, value in own.items() if not name.startswith(("GRADIO_", "LORA_ATELIER_"))}
    if HUB_HELD_BACK in own:
        inherited.pop("HF_HUB_OFFLINE", None)
    search = os.pathsep.join([root, *filter(None, [own.get("PYTHONPATH")])])
    # A program never comes from the folder that it works in: a run folder may be somebody else's.
    own_words = {"PYTHONPATH": search, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return {**inherited, **own_words, **NO_TELEMETRY}


def apart() -> dict[str, Any]:
    """What gives a process a session of its own: Ctrl-C here is not for it."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}


def _begin(verb: Sequence[str], log: pathlib.Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    # A file for its output, never a pipe: nobody need be there to read it.
    with log.open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer", *verb],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment,
            **apart(),
        )
