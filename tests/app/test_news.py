"""What a page shows above all of its tabs."""

import json
import pathlib
import time
from typing import Any

import fastapi
import pytest
from fastapi.testclient import TestClient

from app import news, places
from trainer.job.settings import Job
from trainer.run import ending, events, folder
from trainer.run.folder import RunFolder


@pytest.fixture
def client() -> TestClient:
    """The route alone."""
    app = fastapi.FastAPI()
    app.include_router(news.router)
    return TestClient(app)


def ended(name: str, at: float) -> RunFolder:
    """A run that was stopped at a time."""
    run = folder.create(places.default_outputs(), name)
    folder.write_job(run, Job(), {})
    log = events.EventLog(run.events)
    lengths: dict[str, Any] = {"first_step": 0, "steps": 4, "steps_per_epoch": 2, "epochs": 2, "pictures": 1}
    log.write(events.Started(time=at - 1, name=name, prompts=[], device="cpu", **lengths))
    log.write(events.Stopped(time=at, step=3, epoch=2, file=""))
    return run


def test_what_runs_and_what_has_ended_since_is_told_newest_first(client: TestClient) -> None:
    now = time.time()
    for name, age_s in (("long ago", 500.0), ("before", 40.0), ("just now", 20.0)):
        ended(name, now - age_s)
    going = ended("going", now - 1000)
    with folder.held(going):
        told = client.get("/news", params={"since": now - 100}).json()
    assert [run["name"] for run in told["going"]] == ["going"]
    assert [run["name"] for run in told["ended"]] == ["just now", "before"]
    assert (told["ended"][0]["state"], told["ended"][0]["step"]) == ("stopped", 3)
    assert abs(told["time"] - now) < 60


def test_an_interrupted_run_is_told_from_when_its_end_was_noted(client: TestClient) -> None:
    now = time.time()
    run = ended("killed", now - 500)
    events.EventLog(run.events).write(events.Stage(time=now - 400, text="Preparing"))
    assert client.get("/news", params={"since": now - 100}).json()["ended"] == []
    run.ending.write_text(json.dumps(ending.Ending(now - 50, -9, False)._asdict()), encoding="utf-8")
    told = client.get("/news", params={"since": now - 100}).json()["ended"]
    assert [(run["state"], run["seen_at"]) for run in told] == [("interrupted", now - 50)]
    assert client.get("/news", params={"since": now - 10}).json()["ended"] == []


def test_a_browser_that_was_never_here_is_told_of_the_last_day(client: TestClient) -> None:
    ended("yesterday", time.time() - 2 * news.LOOK_BACK_S)
    ended("tonight", time.time() - news.LOOK_BACK_S / 2)
    assert [run["name"] for run in client.get("/news").json()["ended"]] == ["tonight"]


def test_the_version_is_that_of_the_code(client: TestClient) -> None:
    assert client.get("/news").json()["version"] == news.version() != ""
    assert pathlib.Path(news.__file__).suffix in news.SOURCES
