"""Entries of the queue and what a run remembers of its data set, spoiled: shown and looked after all the same."""

import argparse
import json
import pathlib

from app import live, queueing
from tests.fuzz.mutations import HUGE, as_json, changed, damaged
from tests.fuzz.test_pages import home as home
from tests.fuzz.trials import Trials, said
from trainer import queue_verbs
from trainer.engine import checkpoint
from trainer.job.settings import Job
from trainer.job.trouble import Refused
from trainer.run import queue, worker
from trainer.run.folder import RunFolder

DATA = {"25_cat/a.png": ["0" * 16, "1" * 16], "25_cat/b.png": ["2" * 16, ""]}


def whole(home: pathlib.Path) -> list[dict[str, object]]:
    """An entry in every state, as it is written down."""
    job, run = Job(), str(home / "outputs" / "a")
    states: tuple[queue.State, ...] = ("waiting", "running", "finished", "failed", "stopped")
    made = [queue.Entry(id="000000", job=job, state=state, run=run, reason="Why.", advice="How.") for state in states]
    return [entry.model_dump(mode="json") for entry in made]


def test_entries_of_the_queue(trials: Trials, home: pathlib.Path) -> None:
    """A spoiled entry is named as unreadable or is one; either way the whole one beside it stays and can be moved."""
    kept = queue.add(Job())
    queue.hold(True)
    path = queue.place() / "abc123.json"

    def read(content: bytes) -> None:
        path.write_bytes(content)
        json.loads(live.as_json(queueing.shown()).body)
        # Nothing begins in a queue that is held, but all that runs is looked after.
        with queue.changing():
            worker.turn([], {}, said_or_named)
        for line in queue_verbs._list(argparse.Namespace()):
            assert line.strip()
        for change in (queue.again, queue.duplicate, lambda entry_id: queue.move(entry_id, 1), queue.remove):
            try:
                change("abc123")
            except Refused as error:
                said(error)
        assert [entry.id for entry in queue.entries()].count(kept.id) == 1
        for entry in queue.entries():
            if entry.id != kept.id:
                with queue.changing():
                    queue.forget(entry)

    entries = whole(home)
    known = [*(as_json({**entry, "run": run}) for entry in entries for run in ("\0", "\ud800", "a" * 5000, "/", "~"))]
    known += [as_json({**entries[0], "position": value}) for value in (HUGE, 1e308, "1", float("nan"))]
    known += [b"", b"[]", b"null", b"[" * 100_000, b"{" * 100_000, b" " * 20_000_000]
    trials.of(
        "queue", read, changed(entries).map(as_json) | damaged([as_json(one) for one in entries]), known, count=60
    )


def said_or_named(line: str) -> None:
    """What the worker tells is words."""
    assert line.strip()
    line.encode()


def test_what_a_run_remembers_of_its_data_set(trials: Trials, tmp_path: pathlib.Path) -> None:
    run = RunFolder(tmp_path)
    run.state.mkdir()
    (run.state / "resume.pt").write_bytes(b"there is one")
    now = {name: list(marks) for name, marks in DATA.items()}

    def read(content: bytes) -> None:
        run.data.write_bytes(content)
        warned: list[str] = []
        checkpoint.note_data(run, now, warned.append)
        said(*warned)
        assert json.loads(run.data.read_text(encoding="utf-8")) == now

    known = [b"", b"[]", b"null", b"[" * 100_000, b'{"a": 1}', b'{"a": []}', b'{"a": ["b"]}', as_json(DATA)]
    trials.of("data of runs", read, changed((DATA,)).map(as_json) | damaged((as_json(DATA),)), known, count=60)
