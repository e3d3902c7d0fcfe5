"""What the page shows of the queue, and what it may ask of it."""

import os
import pathlib
from collections.abc import Callable
from typing import Any

import fastapi
from fastapi.responses import Response

from app import jobs, live, plans, run_list
from app.words import say
from trainer.job.trouble import Refused
from trainer.run import queue, worker
from trainer.run.folder import RunFolder
from trainer.run.queue import Entry

router = fastapi.APIRouter()


@router.get("/queue")
def queued() -> Response:
    """The queue (see `shown`)."""
    return live.as_json(shown())


def shown() -> dict[str, Any]:
    """All that is not finished, in order, and what holds them up; `others` are the runs that it waits for."""
    found, unreadable = queue.everything()
    going = any(entry.state == "running" for entry in found)
    waiting = any(entry.state == "waiting" for entry in found)
    return {
        "entries": [_row(entry) for entry in found if entry.state != "finished"],
        "held": queue.is_held(),
        "others": [run.name for run in worker.others(found)] if waiting and not going else [],
        "unreadable": unreadable,
    }


def _row(entry: Entry) -> dict[str, Any]:
    run = RunFolder(pathlib.Path(entry.run))
    return {
        "id": entry.id,
        "name": entry.name,
        "state": entry.state,
        "reason": entry.reason,
        "advice": entry.advice,
        "run": run_list.key_of(run) if entry.run and os.path.isdir(entry.run) else None,
        "step": entry.step,
        "facts": _facts(entry),
    }


def _facts(entry: Entry) -> str:
    """What tells it from others of its name, and the id by which the command line knows it."""
    asked = entry.job.training
    length = plans.length(asked.steps, "plan.steps") if asked.steps else plans.length(asked.epochs, "plan.epochs")
    return say("queue.facts", folder=pathlib.PurePath(entry.job.dataset.folder).name, length=length, id=entry.id)


# ---- what the island may ask for: each gives a sentence when it cannot be done, else "" ----


def move(asked: Any) -> str:
    """Gives an entry another place."""
    number = asked.get("number") if isinstance(asked, dict) else None
    return _told(lambda: queue.move(_id(asked), number if isinstance(number, int) else 1))


def duplicate(asked: Any) -> str:
    """Puts the same job once more."""
    return _told(lambda: queue.duplicate(_id(asked)))


def remove(asked: Any) -> str:
    """Takes an entry out."""
    return _told(lambda: queue.remove(_id(asked)))


def again(asked: Any) -> str:
    """Lets one that has failed or was stopped wait again."""
    return _told(lambda: queue.again(_id(asked)))


def hold(asked: Any) -> str:
    """Lets no further job begin."""
    return _told(lambda: queue.hold(True))


def go(asked: Any) -> str:
    """Lets the queue go on."""
    return _told(lambda: queue.hold(False))


def _id(asked: Any) -> str:
    # What a page sends is anything at all.
    return str(asked.get("id", "")) if isinstance(asked, dict) else ""


def _told(do: Callable[[], object]) -> str:
    try:
        do()
        jobs.work()
    except Refused as error:
        return str(error)
    except OSError as error:
        return say("queue.not_changed", reason=error.strerror or error)
    return ""
