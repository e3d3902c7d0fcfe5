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
from trainer.dataset import folders
from trainer.job.settings import Job
from trainer.run import folder
from trainer.run.folder import RunFolder

HUB_HELD_BACK = "LORA_ATELIER_HUB_OFFLINE"
"""Set where this program, not its user, has set HF_HUB_OFFLINE."""


def start(job: Job) -> RunFolder:
    """A new run of `job`, with its trainer under way. Raises OSError when the output folder cannot be written."""
    outputs = places.resolve_outputs(job.output.folder)
    run = folder.create(outputs, job.output.name)
    folder.write_job(run, with_whole_paths(job), {})
    places.remember_output_folder(outputs)
    _spawn(run)
    return run


def under_way() -> list[RunFolder]:
    """The runs in the known output folders whose trainer is at work or about to be."""
    runs = (run for outputs in places.output_folders() for run in folder.list_runs(outputs))
    return [run for run in runs if watch.overview(run)["state"] in ("waiting", "running")]


def resume(run: RunFolder) -> None:
    """Lets a stopped or interrupted run go on. Raises folder.Busy when it is at work already."""
    if folder.is_alive(run):
        raise folder.Busy(run.name)
    folder.take_request(run, "stop")
    _spawn(run)


def stop(run: RunFolder) -> None:
    """Asks the trainer of `run` to end soon and keep its work."""
    folder.request(run, "stop")


def with_whole_paths(job: Job) -> Job:
    """`job` with every path absolute, since its trainer works in another folder."""
    pictures = folders.resolve(job.dataset.folder)
    shipped = pictures.is_relative_to(pathlib.Path(trainer.__file__).parent)
    base = job.model.base if job.model.base == "starter" else _whole_path(job.model.base)
    whole = {
        "model": {"base": base, "tokenizer": _whole_path(job.model.tokenizer)},
        "dataset": {
            "folder": job.dataset.folder if shipped else str(pictures.absolute()),
            "regularisation_folder": _whole_folder(job.dataset.regularisation_folder),
            "mask_folder": _whole_folder(job.dataset.mask_folder),
        },
        "output": {"folder": str(places.resolve_outputs(job.output.folder))},
    }
    return job.model_copy(update={name: getattr(job, name).model_copy(update=values) for name, values in whole.items()})


def _whole_path(name: str) -> str:
    """`name` as an absolute path where it names a file or folder that exists; else it is a hub id and stays."""
    path = pathlib.Path(name).expanduser()
    return str(path.absolute()) if name and path.exists() else name


def _whole_folder(name: str) -> str:
    """`name` as an absolute path, there or not; "" where none is named."""
    return str(folders.resolve(name)) if name else ""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """What a trainer inherits of the environment `own`: not what was set for the GUI alone."""
    root = str(pathlib.Path(trainer.__file__).parents[1])
    inherited = {name: value for name, value in own.items() if not name.startswith(("GRADIO_", "LORA_ATELIER_"))}
    if HUB_HELD_BACK in own:
        inherited.pop("HF_HUB_OFFLINE", None)
    search = os.pathsep.join([root, *filter(None, [own.get("PYTHONPATH")])])
    return {**inherited, "PYTHONPATH": search, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def _spawn(run: RunFolder) -> None:
    # A file for its output, never a pipe: nobody need be there to read it. Its own session: Ctrl-C here is not for it.
    apart: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}  # type: ignore[attr-defined,unused-ignore]
    with run.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trainer", "resume", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=run.path,
            env=environment(os.environ),
            **apart,
        )
    # Only so that the system can forget it when it ends.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {run.name}").start()
