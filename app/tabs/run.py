"""The Run tab: all runs, and the chosen one live."""

from typing import Any

from app import jobs, live
from app.forms import Form
from app.islands import island
from app.words import say
from trainer.run.folder import Busy, RunFolder

TITLE = "tabs.run"


def build(form: Form) -> None:
    """Lays out the tab."""
    island("live_monitor", None, [stop, resume])


def stop(asked: Any) -> str:
    """Asks the trainer of a run to stop and keep its work; says what is wrong, nothing when all is well."""
    run = _found(asked)
    if run is None:
        return say("run.gone")
    jobs.stop(run)
    return ""


def resume(asked: Any) -> str:
    """Lets a run go on; says what is wrong, nothing when all is well."""
    run = _found(asked)
    if run is None:
        return say("run.gone")
    try:
        jobs.resume(run)
    except Busy:
        return say("run.busy")
    except OSError as error:
        return say("run.not_resumed", reason=error.strerror or error)
    return ""


def _found(asked: Any) -> RunFolder | None:
    key = asked.get("run") if isinstance(asked, dict) else None
    return live.find(key) if isinstance(key, str) else None
