"""What the page shows of the queue, and that nothing it can ask for ends in an error."""

import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from app import jobs, queueing
from trainer.job.fields import parse
from trainer.run import folder, queue

ACTS = (queueing.move, queueing.duplicate, queueing.remove, queueing.again, queueing.hold, queueing.go)


@pytest.fixture(autouse=True)
def unworked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun."""
    monkeypatch.setattr(jobs, "work", lambda: None)


def add(*names: str) -> list[queue.Entry]:
    return [queue.add(parse({"output": {"name": name}})) for name in names]


def test_an_empty_queue_shows_nothing() -> None:
    assert queueing.shown() == {"entries": [], "held": False, "others": [], "unreadable": []}


def test_all_that_is_not_finished_is_shown_in_order_with_its_sentence() -> None:
    one, two, three = add("one", "two", "three")
    with queue.changing():
        queue.write(one.but(state="finished"))
        queue.write(two.but(state="failed", reason="It broke.", advice="Mend it."))
    shown = queueing.shown()["entries"]
    assert [(row["id"], row["name"], row["state"]) for row in shown] == [
        (three.id, "three", "waiting"),
        (two.id, "two", "failed"),
    ]
    assert (shown[1]["reason"], shown[1]["advice"]) == ("It broke.", "Mend it.")


def test_what_the_queue_waits_for_is_named(tmp_path: pathlib.Path) -> None:
    add("one")
    run = folder.create(tmp_path / "outputs", "other")
    folder.write_job(run, parse({}), {})
    with folder.held(run):
        assert queueing.shown()["others"] == ["other"]


def test_the_page_changes_the_queue() -> None:
    one, two = add("one", "two")
    assert queueing.move({"id": two.id, "number": 1}) == ""
    assert queueing.duplicate({"id": two.id}) == ""
    assert queueing.remove({"id": one.id}) == ""
    assert [row["name"] for row in queueing.shown()["entries"]] == ["two", "two"]
    assert queueing.hold({}) == ""
    assert queueing.shown()["held"]
    assert queueing.go(None) == ""
    assert not queueing.shown()["held"]


@pytest.mark.parametrize("asked", [None, 3, "x", [], {}, {"id": None}, {"id": ["a"], "number": "x"}, {"id": "../lock"}])
@pytest.mark.parametrize("act", ACTS[:4])
def test_whatever_a_page_sends_is_answered_with_a_sentence(act: Callable[[Any], str], asked: Any) -> None:
    add("one")
    assert "There is no entry" in act(asked)
    assert [row["name"] for row in queueing.shown()["entries"]] == ["one"]


def test_a_disk_that_takes_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = add("one")

    def full(entry: queue.Entry) -> queue.Entry:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(queue, "write", full)
    assert queueing.duplicate({"id": one.id}).startswith("The queue could not be changed: No space left on device.")
