"""Trainings are queued and worked off; a run that is let go on tells its entry in the queue."""

import errno
import pathlib
import subprocess
import sys
import threading

import pytest

from app import jobs, places
from trainer.job.fields import parse
from trainer.run import events, folder, process, queue


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was begun: a worker or a trainer, neither of which does anything."""
    found: list[str] = []

    def stand_in(name: str) -> object:
        def begin(*_: object) -> "subprocess.Popen[bytes]":
            found.append(name)
            return subprocess.Popen([sys.executable, "-S", "-c", ""])

        return begin

    for name in ("begin_worker", "begin_trainer"):
        monkeypatch.setattr(jobs, name, stand_in(name))
    return found


def test_what_is_queued_gets_a_worker_but_never_a_second_one(begun: list[str]) -> None:
    jobs.work()
    assert begun == []
    jobs.queue_up(parse({}))
    assert begun == ["begin_worker"]
    with folder.locked(queue.worker_lock(), 1):
        jobs.queue_up(parse({}))
    assert begun == ["begin_worker"]
    queue.hold(True)
    jobs.work()
    assert begun == ["begin_worker"]


def test_a_worker_that_was_killed_is_replaced(begun: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WATCH_QUEUE_S", 0.01)
    ended = threading.Event()
    watcher = threading.Thread(target=jobs.keep_working, args=(ended,))
    watcher.start()
    queue.add(parse({}))
    for _ in range(6000):
        if begun:
            break
        threading.Event().wait(0.01)
    ended.set()
    watcher.join()
    assert begun[0] == "begin_worker"


def test_a_run_that_is_let_go_on_is_looked_after_by_the_queue_again(begun: list[str], tmp_path: pathlib.Path) -> None:
    entry = queue.add(parse({}))
    run = folder.create(tmp_path / "outputs", "cat")
    with queue.changing():
        queue.write(entry.but(state="stopped", run=str(run.path)))
    jobs.resume(run)
    assert begun == ["begin_trainer", "begin_worker"]
    assert queue.entries()[0].state == "running"


def test_the_queue_knows_that_a_run_goes_on_before_its_trainer_can_say_anything(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = queue.add(parse({}))
    run = folder.create(tmp_path / "outputs", "cat")
    with queue.changing():
        queue.write(entry.but(state="failed", run=str(run.path), device="second card"))

    def quick(*_: object) -> "subprocess.Popen[bytes]":
        events.EventLog(run.events).write(events.Finished(step=9, file="", grid="", training_s=1.0))
        return subprocess.Popen([sys.executable, "-S", "-c", ""])

    monkeypatch.setattr(jobs, "begin_trainer", quick)
    monkeypatch.setattr(jobs, "begin_worker", quick)
    jobs.resume(run)
    (found,) = queue.entries()
    assert (found.state, found.from_byte, found.device) == ("running", 0, "")


def test_a_run_that_cannot_be_let_go_on_is_none_that_the_queue_begins_later(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = folder.create(tmp_path / "outputs", "cat")
    with queue.changing():
        before = queue.write(queue.Entry(id="abcdef", job=parse({}), state="stopped", run=str(run.path)))

    def full(*_: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(jobs, "begin_trainer", full)
    with pytest.raises(OSError, match="allocate"):
        jobs.resume(run)
    assert queue.entries() == [before]
    assert not queue.has_work()


def test_a_folder_is_remembered_only_once_there_is_a_run_in_it(begun: list[str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        jobs.start(parse({"output": {"folder": str(tmp_path / "file" / "runs")}}))
    assert begun == []
    run = jobs.start(parse({"output": {"folder": str(tmp_path / "mine")}}))
    assert places.output_folders()[1:] == [run.path.parent]


def test_a_run_that_the_queue_does_not_know_is_only_resumed(begun: list[str], tmp_path: pathlib.Path) -> None:
    jobs.resume(folder.create(tmp_path / "outputs", "cat"))
    assert begun == ["begin_trainer"]
    assert not queue.entries()


def test_learning_rates_are_halved_once_for_each_failure_however_often_it_is_asked_for(
    begun: list[str], tmp_path: pathlib.Path
) -> None:
    run = folder.create(tmp_path / "outputs", "cat")
    folder.write_job(run, parse({"training": {"learning_rate": 0.4}}), {})
    rates = []
    for _ in range(2):
        events.EventLog(run.events).write(events.Failed(reason="The loss is not finite", advice="Go slower"))
        for _ in range(2):
            jobs.resume_slower(run)
            rates.append(folder.read_job(run).training.learning_rate)
    assert rates == [0.2, 0.2, 0.1, 0.1]
    assert begun == ["begin_trainer"] * 4


def test_rates_that_could_not_be_written_are_halved_when_it_is_asked_for_again(
    begun: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = folder.create(tmp_path / "outputs", "cat")
    folder.write_job(run, parse({"training": {"learning_rate": 0.4}}), {})
    events.EventLog(run.events).write(events.Failed(reason="The loss is not finite", advice="Go slower"))
    with monkeypatch.context() as disk:
        disk.setattr(folder, "write_job", full)
        with pytest.raises(OSError, match="No space"):
            jobs.resume_slower(run)
    assert begun == []
    jobs.resume_slower(run)
    assert folder.read_job(run).training.learning_rate == 0.2


def test_a_real_worker_ends_when_it_finds_nothing_to_do() -> None:
    worker = process.begin_worker()
    assert worker.wait(300) == 0
    assert (queue.place() / "log.txt").read_text(encoding="utf-8") == "Nothing waits in the queue.\n"
