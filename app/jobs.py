"""Starts, stops and resumes trainings, each a process of its own that outlives this one."""

import threading

from app import places, watch
from trainer.job.settings import Job
from trainer.run import folder
from trainer.run.folder import RunFolder
from trainer.run.paths import with_whole_paths
from trainer.run.process import begin_trainer


def start(job: Job) -> RunFolder:
    """A new run of `job`, with its trainer under way. Raises OSError when the output folder cannot be written."""
    outputs = places.resolve_outputs(job.output.folder)
    run = folder.create(outputs, job.output.name)
    folder.write_job(run, with_whole_paths(job, outputs), {})
    places.remember_output_folder(outputs)
    _begin(run)
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
    _begin(run)


def _begin(run: RunFolder) -> None:
    process = begin_trainer(run, {})
    # Only so that the system can forget it when it ends.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {run.name}").start()
