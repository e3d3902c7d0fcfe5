"""Starts, queues and resumes trainings, each a process of its own that outlives this one."""

import contextlib
import subprocess
import threading

from app import places, watch
from trainer.job.settings import Job
from trainer.job.trouble import Refused
from trainer.run import ending, folder, queue
from trainer.run.folder import RunFolder
from trainer.run.paths import with_whole_paths
from trainer.run.process import begin_trainer, begin_worker
from trainer.run.queue import Entry

WATCH_QUEUE_S = 10.0

RATES = ("learning_rate", "text_encoder_learning_rate", "text_encoder_2_learning_rate")


def start(job: Job) -> RunFolder:
    """A new run of `job`, with its trainer under way. Raises OSError when the output folder cannot be written."""
    outputs = places.resolve_outputs(job.output.folder)
    run = folder.create(outputs, job.output.name)
    # Before it is a run, for one in a folder that is not remembered would be lost if this program were killed now; and
    # once there is a folder for it, since what is remembered may be looked into.
    try:
        places.remember_output_folder(outputs)
    except OSError:
        folder.unmake(run)
        raise
    folder.write_job(run, with_whole_paths(job, outputs), {})
    _begin(run)
    return run


def under_way() -> list[RunFolder]:
    """The runs in the known output folders whose trainer is at work or about to be."""
    return [run for run in places.runs() if watch.overview(run)["state"] in watch.UNDER_WAY]


def queue_up(job: Job) -> Entry:
    """Puts `job` at the end of the queue and sees that it is worked off. Raises Refused and OSError."""
    entry = queue.add(job)
    work()
    return entry


def work() -> None:
    """Sees that there is a worker where the queue has something to do. Raises OSError."""
    if queue.has_work() and not queue.is_worked():
        _forget_when_it_ends(begin_worker())


def keep_working(until: threading.Event) -> None:
    """Does so from time to time: a worker may be killed, and a command line may add to the queue."""
    while True:
        with contextlib.suppress(OSError):
            work()
        if until.wait(WATCH_QUEUE_S):
            return


def resume(run: RunFolder) -> None:
    """Lets a paused, stopped or interrupted run go on. Raises OSError, and Busy when it is at work already."""
    if folder.is_alive(run):
        if folder.take_request(run, "pause"):
            return
        raise folder.Busy(run.name)
    folder.forget_requests(run)
    # Before its trainer says anything: its entry in the queue, if it has one, is told of how it ends this time.
    entry = None
    with contextlib.suppress(OSError, Refused):
        entry = queue.resumed(run)
    try:
        _begin(run)
    except OSError:
        if entry:
            queue.put_back(entry)
        raise
    if entry:
        with contextlib.suppress(OSError):
            work()


def resume_slower(run: RunFolder) -> None:
    """Lets a failed run go on at half of its learning rates. Raises OSError, ValueError for a broken job, and Busy."""
    if folder.is_alive(run):
        raise folder.Busy(run.name)
    job = folder.read_job(run)
    # Two pages may ask for it before there is a trainer, and that of a failure that both have seen.
    with folder.first_to(run, "slower") as first:
        if first:
            halves = {name: getattr(job.training, name) / 2 for name in RATES}
            folder.write_job(run, job.model_copy(update={"training": job.training.model_copy(update=halves)}), {})
    resume(run)


def _begin(run: RunFolder) -> None:
    before = ending.before(run)
    process = begin_trainer(run, {})
    threading.Thread(target=_see_end, args=(run, process, before), daemon=True, name=f"reap {run.name}").start()


def _see_end(run: RunFolder, process: "subprocess.Popen[bytes]", before: ending.Before) -> None:
    """Waits, so that the system can forget the trainer when it ends, and notes what that could not say itself."""
    ending.note(run, process.wait(), before)


def _forget_when_it_ends(process: "subprocess.Popen[bytes]") -> None:
    # Only so that the system can do so.
    threading.Thread(target=process.wait, daemon=True, name=f"reap {process.pid}").start()
