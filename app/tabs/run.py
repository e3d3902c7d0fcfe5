"""The Run tab: the queue, all runs, and the chosen one live."""

from collections.abc import Callable
from typing import Any

from app import jobs, queueing, run_list
from app.forms import Form
from app.islands import island
from app.words import say
from trainer.run import folder
from trainer.run.folder import Busy, Request, RunFolder

TITLE = "tabs.run"


def build(form: Form) -> None:
    """Lays out the tab."""
    ask = [queueing.move, queueing.duplicate, queueing.remove, queueing.again, queueing.hold, queueing.go]
    island("queue", None, ask)
    island("live_monitor", None, [stop, stop_after_epoch, pause, save, sample, resume, resume_slower])


def stop(asked: Any) -> str:
    """Asks the trainer of a run to stop and keep its work; says what is wrong, nothing when all is well."""
    return _request(asked, "stop")


def stop_after_epoch(asked: Any) -> str:
    """Asks the trainer of a run to stop at the end of its epoch, likewise."""
    return _request(asked, "stop_after_epoch")


def pause(asked: Any) -> str:
    """Asks the trainer of a run to wait, likewise."""
    return _request(asked, "pause")


def save(asked: Any) -> str:
    """Asks the trainer of a run to save now, likewise."""
    return _request(asked, "save")


def sample(asked: Any) -> str:
    """Asks the trainer of a run to draw samples now, likewise."""
    return _request(asked, "sample")


def _request(asked: Any, what: Request) -> str:
    run = _found(asked)
    if run is None:
        return say("run.gone")
    try:
        folder.request(run, what)
    except OSError as error:
        return say("run.not_asked", reason=error.strerror or error)
    return ""


def resume(asked: Any) -> str:
    """Lets a run go on; says what is wrong, nothing when all is well."""
    return _resumed(asked, jobs.resume)


def resume_slower(asked: Any) -> str:
    """Lets a run go on at half of its learning rates, likewise."""
    return _resumed(asked, jobs.resume_slower)


def _resumed(asked: Any, do: Callable[[RunFolder], None]) -> str:
    run = _found(asked)
    if run is None:
        return say("run.gone")
    try:
        do(run)
    except Busy:
        return say("run.busy")
    except (OSError, ValueError) as error:
        return say("run.not_resumed", reason=getattr(error, "strerror", None) or error)
    return ""


def _found(asked: Any) -> RunFolder | None:
    key = asked.get("run") if isinstance(asked, dict) else None
    return run_list.find(key) if isinstance(key, str) else None
