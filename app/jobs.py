"""Starts, stops and resumes trainings, each a process of its own that outlives this one."""

import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

import trainer
from app import places, watch
from trainer.job.settings import Job
from trainer.run import folder
from trainer.run.folder import RunFolder
from trainer.run.paths import with_whole_paths

HUB_HELD_BACK = "LORA_ATELIER_HUB_OFFLINE"
"""Set where this program, not its user, has set HF_HUB_OFFLINE."""


def start(job: Job) -> RunFolder:
    """A new run of `job`, with its trainer under way. Raises OSError when the output folder cannot be written."""
    outputs = places.resolve_outputs(job.output.folder)
    run = folder.create(outputs, job.output.name)
    folder.write_job(run, with_whole_paths(job, outputs), {})
    places.remember_output_folder(outputs)
    _spawn(run)
    return run


def under_way() -> list[RunFolder]:
    """The runs in the known output folders whose trainer is at work or about to be."""
    return [run for run in places.runs() if watch.overview(run)["state"] in ("waiting", "running", "paused")]


def resume(run: RunFolder) -> None:
    """Lets a paused, stopped or interrupted run go on. Raises OSError, and Busy when it is at work already."""
    if folder.is_alive(run):
        if folder.take_request(run, "pause"):
            return
        raise folder.Busy(run.name)
    folder.forget_requests(run)
    _spawn(run)


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a trainer inherits of the environment `own`: not what was set for the GUI alone."""
    root = str(pathlib.Path(trainer.__file__).parents[1])
    inherited = {name: value for name, value in own.items() if not name.startswith(("GRADIO_", "LORA_ATELIER_"))}
    if HUB_HELD_BACK in own:
        inherited.pop("HF_HUB_OFFLINE", None)
    search = os.pathsep.join([root, *filter(None, [own.get("PYTHONPATH")])])
    return {**inherited, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def apart() -> dict[str, Any]:
    """What gives a process a session of its own: Ctrl-C here is not for it."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}


def _spawn(run: RunFolder) -> None:
    # A file for its output, never a pipe: nobody need be there to read it.
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "resume", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=run.path,
            env=environment(os.environ),
            **apart(),
        )
    # Only so that the system can forget it when it ends.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {run.name}").start()
