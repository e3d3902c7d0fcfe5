"""What a page shows above all tabs: what trains, what has ended meanwhile, and whether it is of this program."""

import functools
import hashlib
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Annotated, Any

import fastapi
from fastapi.responses import Response

import trainer
from app import live, run_list, watch
from app.watch import Look
from trainer.run import ending
from trainer.run.folder import RunFolder

LOOK_BACK_S = 24 * 60 * 60
"""So far back it is told what has ended to a browser that was never here."""
SHOWN = ("name", "state", "step", "steps", "left_s", "seen_at")
SOURCES = (".py", ".js", ".css", ".html", ".json")

router = fastapi.APIRouter()


@router.get("/news")
def news(since: Annotated[float, fastapi.Query(ge=0)] = 0.0) -> Response:
    """The runs under way, and those that have ended after `since` (seconds since 1970 by this machine's clock)."""
    now = time.time()
    after = since or now - LOOK_BACK_S
    looked = [(run.key, _looked(run.look)) for run in run_list.listed()]
    going = [_shown(key, found) for key, found in looked if found["state"] in watch.UNDER_WAY]
    ended = [
        _shown(key, found)
        for key, found in looked
        if found["state"] not in watch.UNDER_WAY and (found["seen_at"] or 0.0) > after
    ]
    ended.sort(key=lambda run: run["seen_at"], reverse=True)
    told = {"version": version(), "time": now, "going": going, "ended": ended}
    return live.as_json(told)


def _looked(look: Look) -> Mapping[str, Any]:
    """The overview of a run; an interrupted one was last seen when its end was, be that long after its last event."""
    found = watch.seen(look)
    end = ending.read(RunFolder(pathlib.Path(look.path))) if found["state"] == "interrupted" else None
    if end is None or not math.isfinite(end.time):
        return found
    return {**found, "seen_at": max(found["seen_at"] or 0.0, end.time)}


def _shown(key: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": key, **{name: found[name] for name in SHOWN}}


@functools.cache
def version() -> str:
    """What differs from that of a program with other code or words; it is that of the start."""
    found = hashlib.blake2s(digest_size=8)
    for root in (pathlib.Path(__file__).parent, pathlib.Path(trainer.__file__).parent):
        for path in sorted(path for path in root.rglob("*") if path.suffix in SOURCES):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()
