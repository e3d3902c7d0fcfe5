"""The worker: one job after the other on each device, each to one end, whatever happens to trainers and workers.

The trainers here are processes that only write down what a trainer would; those of tests/crash are real.
"""

import contextlib
import errno
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

import pytest

from trainer.job.fields import parse
from trainer.job.trouble import Refused
from trainer.run import ending, events, folder, home, queue, worker
from trainer.run.devices import Device
from trainer.run.folder import RunFolder
from trainer.run.queue import Entry

ONE = (Device(),)
TWO = (Device("GPU-1", "Big"), Device("GPU-2", "Small"))


class Stage:
    """What takes the place of trainers: `acts` says by the run's name what each of them does, one after the other."""

    def __init__(self) -> None:
        self.acts: dict[str, list[Callable[[RunFolder], None]]] = {}
        self.begun: list[tuple[str, Mapping[str, str]]] = []
        self.told: list[str] = []
        self.ends = ""
        self.processes: worker.Processes = {}

    def begin(self, run: RunFolder, cards: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        self.begun.append((run.name, dict(cards)))
        run.lock.touch()
        self.acts.get(run.name, [finish]).pop(0)(run)
        return subprocess.Popen([sys.executable, "-S", "-c", self.ends])

    def turn(self, devices: Sequence[Device] = ONE) -> bool:
        going = worker.turn(devices, self.processes, self.told.append)
        for begun in self.processes.values():
            begun.process.wait(300)
        return going

    def work(self) -> None:
        for _ in range(30):
            if not self.turn():
                return
        raise AssertionError("it never ends")


@pytest.fixture
def stage(places: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = Stage()
    monkeypatch.setattr(worker, "begin_trainer", found.begin)
    return found


def add(*names: str) -> list[Entry]:
    return [queue.add(parse({"output": {"name": name}})) for name in names]


def states() -> dict[str, str]:
    return {entry.name: entry.state for entry in queue.entries()}


def log(run: RunFolder) -> events.EventLog:
    return events.EventLog(run.events)


def finish(run: RunFolder) -> None:
    log(run).write(events.Finished(step=9, file="weights/x.safetensors", grid="", training_s=1.0))


def fail(run: RunFolder) -> None:
    log(run).write(events.Failed(reason="It broke.", advice="Mend it."))


def stop(run: RunFolder) -> None:
    log(run).write(events.Stopped(step=1, epoch=1, file=""))


def vanish(run: RunFolder) -> None:
    """A trainer that a system ends before its first word."""


def reach(step: int) -> Callable[[RunFolder], None]:
    """A trainer that is ended from outside after a step."""

    def act(run: RunFolder) -> None:
        log(run).write(events.Stage(text="loading"))
        told = log(run)
        told.write(events.Step(step=step, epoch=1, loss=0.5, learning_rate=1e-4))
        told.flush()

    return act


@contextlib.contextmanager
def alive(run: RunFolder) -> Iterator[None]:
    """A trainer that lives and says nothing."""
    run.path.mkdir(parents=True, exist_ok=True)
    with folder.held(run):
        yield


def test_jobs_are_done_in_order_and_one_that_fails_or_is_stopped_does_not_block_the_next(stage: Stage) -> None:
    add("one", "bad", "left", "last")
    stage.acts = {"bad": [fail], "left": [stop]}
    stage.work()
    assert [name for name, _ in stage.begun] == ["one", "bad", "left", "last"]
    assert states() == {"one": "finished", "last": "finished", "bad": "failed", "left": "stopped"}
    bad = next(entry for entry in queue.entries() if entry.name == "bad")
    assert (bad.reason, bad.advice) == ("It broke.", "Mend it.")
    assert stage.told == [
        "one: begun in " + queue.entries()[0].run,
        "one: finished",
        "bad: begun in " + bad.run,
        "bad: failed. It broke.",
        *stage.told[4:],
    ]


def test_a_run_gets_the_job_and_its_output_folder_is_known(stage: Stage, places: pathlib.Path) -> None:
    job = parse({"output": {"name": "cat", "folder": str(places / "elsewhere")}, "training": {"batch_size": 3}})
    queue.add(job)
    stage.work()
    run = RunFolder(places / "elsewhere" / "cat")
    assert folder.read_job(run).training.batch_size == 3
    assert places / "elsewhere" in home.output_folders()


def test_one_that_cannot_begin_has_failed_with_a_sentence(stage: Stage, places: pathlib.Path) -> None:
    (places / "file").write_text("", encoding="utf-8")
    queue.add(parse({"output": {"name": "cat", "folder": str(places / "file")}}))
    add("next")
    stage.work()
    assert states() == {"next": "finished", "cat": "failed"}
    assert "could not be written" in queue.entries()[-1].reason


def test_a_trainer_ended_from_outside_is_begun_again_in_the_same_run(stage: Stage) -> None:
    add("cat", "next")
    stage.acts = {"cat": [reach(5), reach(9), finish]}
    stage.work()
    assert [name for name, _ in stage.begun] == ["cat", "cat", "cat", "next"]
    assert set(states().values()) == {"finished"}


@pytest.mark.parametrize("acts", [[vanish, vanish], [reach(5), reach(5), reach(3)]])
def test_one_that_is_interrupted_twice_without_a_new_step_has_failed(
    stage: Stage, acts: list[Callable[[RunFolder], None]]
) -> None:
    add("cat", "next")
    stage.acts = {"cat": list(acts)}
    stage.work()
    assert states() == {"cat": "failed", "next": "finished"}
    assert "ended twice without a word" in queue.entries()[-1].reason
    queue.again(queue.entries()[-1].id)
    stage.acts = {"cat": [reach(5), finish]}
    stage.work()
    assert states() == {"cat": "finished", "next": "finished"}


def test_a_later_worker_waits_for_the_trainer_of_a_killed_one(stage: Stage, places: pathlib.Path) -> None:
    add("cat", "next")
    stage.acts = {"cat": [vanish]}
    stage.turn()
    later = Stage()
    run = RunFolder(places / "outputs" / "cat")
    with alive(run):
        for _ in range(3):
            assert worker.turn(ONE, later.processes, later.told.append)
        assert states() == {"cat": "running", "next": "waiting"}
        finish(run)
    stage.processes.clear()
    stage.work()
    assert set(states().values()) == {"finished"}
    assert [name for name, _ in stage.begun] == ["cat", "next"]


def test_a_run_that_somebody_has_just_let_go_on_is_not_begun_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, places: pathlib.Path
) -> None:
    add("cat")
    stage.acts = {"cat": [fail, finish]}
    stage.work()
    assert queue.resumed(RunFolder(places / "outputs" / "cat"))
    stage.turn()  # its trainer has no lock yet
    assert len(stage.begun) == 1
    monkeypatch.setattr(worker, "LOCK_GRACE_S", 0)
    stage.work()
    assert states() == {"cat": "finished"}


def test_a_trainer_that_had_not_spoken_when_its_worker_was_killed_was_not_interrupted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOCK_GRACE_S", 0)
    add("cat")
    stage.acts = {"cat": [vanish, vanish, vanish, vanish, finish]}
    for _ in range(4):
        stage.turn()
        stage.processes.clear()  # the worker is killed, and so is the trainer
    assert states() == {"cat": "running"}
    stage.work()
    assert states() == {"cat": "finished"}


def test_a_power_cut_twice_in_the_same_place_is_told_apart_from_progress(stage: Stage) -> None:
    add("cat", "next")
    stage.acts = {"cat": [reach(5), reach(5), reach(5)]}
    for _ in range(4):
        stage.turn()
        stage.processes.clear()
    stage.work()
    assert states() == {"cat": "failed", "next": "finished"}


def test_what_ended_while_no_worker_lived_is_written_down_and_not_done_again(
    stage: Stage, places: pathlib.Path
) -> None:
    add("cat", "bad")
    stage.acts = {"cat": [vanish]}
    stage.turn()
    stage.processes.clear()
    finish(RunFolder(places / "outputs" / "cat"))
    stage.work()
    assert [name for name, _ in stage.begun] == ["cat", "bad"]


def test_a_run_that_somebody_let_go_on_is_waited_for_and_not_begun_twice(stage: Stage, places: pathlib.Path) -> None:
    add("cat")
    stage.acts = {"cat": [stop]}
    stage.work()
    queue.again(queue.entries()[0].id)
    run = RunFolder(places / "outputs" / "cat")
    with alive(run):
        assert stage.turn()
        assert len(stage.begun) == 1
        finish(run)
    stage.work()
    assert states() == {"cat": "finished"}
    assert len(stage.begun) == 1


def test_a_run_whose_folder_is_gone_has_failed_and_tried_again_gets_a_new_one(
    stage: Stage, places: pathlib.Path
) -> None:
    add("cat")
    stage.acts = {"cat": [lambda run: run.path.rename(places / "gone"), finish]}
    stage.work()
    assert states() == {"cat": "failed"}
    assert queue.entries()[0].advice == "Try again to train it in a new one."
    assert "is gone" in queue.entries()[0].reason
    queue.again(queue.entries()[0].id)
    stage.work()
    assert states() == {"cat": "finished"}


def test_a_held_queue_begins_nothing_and_goes_on_where_it_was(stage: Stage) -> None:
    add("one", "two")
    queue.hold(True)
    assert not stage.turn()
    assert stage.begun == []
    queue.hold(False)
    stage.work()
    assert set(states().values()) == {"finished"}


def test_several_devices_train_side_by_side_and_each_one_job_at_a_time(stage: Stage, places: pathlib.Path) -> None:
    add("one", "two", "three")
    stage.acts = {"one": [vanish], "two": [vanish]}
    with alive(RunFolder(places / "outputs" / "one")), alive(RunFolder(places / "outputs" / "two")):
        pass
    runs = [RunFolder(places / "outputs" / f"{name}-2") for name in ("one", "two")]
    stage.acts = {run.name: [vanish] for run in runs}
    stage.turn(TWO)
    assert stage.begun == [("one-2", TWO[0].environment), ("two-2", TWO[1].environment)]
    with alive(runs[0]), alive(runs[1]):
        stage.turn(TWO)
        assert len(stage.begun) == 2
        finish(runs[1])
    with alive(runs[0]):
        stage.turn(TWO)
        assert stage.begun[2:] == [("three", TWO[1].environment)]


def test_a_training_begun_without_the_queue_has_its_device_to_itself(stage: Stage, places: pathlib.Path) -> None:
    other = folder.create(places / "outputs", "other")
    folder.write_job(other, parse({}), {})
    add("cat")
    assert stage.turn()  # it was just begun, and its trainer may be about to take its lock
    with alive(other):
        assert stage.turn()
        assert stage.begun == []
    stage.work()
    assert states() == {"cat": "finished"}


def test_of_several_devices_a_training_begun_without_the_queue_holds_the_one_that_it_names(
    stage: Stage, places: pathlib.Path
) -> None:
    other = folder.create(places / "outputs", "other")
    folder.write_job(other, parse({}), {})
    add("cat")
    with alive(other):
        stage.turn(TWO)
        assert stage.begun == []  # it has not said yet where it is
        lengths = {"first_step": 0, "steps": 9, "steps_per_epoch": 9, "epochs": 1, "pictures": 1}
        log(other).write(events.Started(name="x", prompts=[], device="Big", **lengths))
        stage.turn(TWO)
    assert stage.begun == [("cat", TWO[1].environment)]


def test_an_old_run_that_no_trainer_ever_touched_holds_nothing(stage: Stage, places: pathlib.Path) -> None:
    other = folder.create(places / "outputs", "other")
    folder.write_job(other, parse({}), {})
    hour_ago = time.time() - 3600
    os.utime(other.job, (hour_ago, hour_ago))
    add("cat")
    stage.work()
    assert states() == {"cat": "finished"}


def test_only_the_latest_finished_ones_are_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "KEPT_FINISHED", 2)
    add("a", "b", "c", "d")
    stage.work()
    assert list(states()) == ["c", "d"]


def test_a_second_worker_is_refused_and_a_worker_with_nothing_to_do_ends(places: pathlib.Path) -> None:
    queue.place().mkdir(parents=True)
    with folder.locked(queue.worker_lock(), 1), pytest.raises(Refused, match="worked off already"):
        worker.work(ONE, print)
    worker.work(ONE, print)
    assert not queue.is_worked()


def test_a_queue_that_cannot_be_written_is_told_of_and_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, places: pathlib.Path
) -> None:
    add("cat")
    monkeypatch.setattr(worker, "AFTER_TROUBLE_S", 0.01)
    monkeypatch.setattr(worker, "TURN_S", 0.01)
    tries = []

    def write(entry: Entry) -> Entry:
        tries.append(entry)
        if len(tries) < 3:
            raise OSError(28, "No space left on device")
        return real(entry)

    real = queue.write
    monkeypatch.setattr(queue, "write", write)
    worker.work(ONE, stage.told.append)
    assert states() == {"cat": "finished"}
    assert len([line for line in stage.told if "No space left" in line]) == 2
    # What was begun in vain has left nothing behind.
    assert [path.name for path in (places / "outputs").iterdir()] == ["cat"]


def test_beside_an_entry_that_the_disk_does_not_give_now_nothing_begins_and_the_worker_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: pathlib.Path) -> IO[bytes]:
        raise OSError(errno.EIO, "Input/output error", str(path))

    queue.add(parse({"output": {"name": "one"}}))
    with monkeypatch.context() as disk:
        disk.setattr(queue, "open_file", failing)
        with pytest.raises(OSError, match=r"Input/output error: .*\.json"):
            stage.turn()
    assert not stage.begun
    stage.work()
    assert [name for name, _ in stage.begun] == ["one"]


def test_a_disk_that_complains_after_it_has_taken_the_words_costs_no_job_its_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, places: pathlib.Path
) -> None:
    monkeypatch.setattr(worker, "LOCK_GRACE_S", 0)
    add("cat")
    complaints = [OSError(5, "Input/output error")]

    def write(entry: Entry) -> Entry:
        real(entry)
        if complaints:
            raise complaints.pop()
        return entry

    real = queue.write
    monkeypatch.setattr(queue, "write", write)
    with pytest.raises(OSError, match="Input/output"):
        stage.turn()
    stage.work()
    assert states() == {"cat": "finished"}
    assert [path.name for path in (places / "outputs").iterdir()] == ["cat"]


def test_how_a_trainer_ended_that_could_not_say_so_is_noted(stage: Stage, places: pathlib.Path) -> None:
    add("silent", "next")

    def shout(run: RunFolder) -> None:
        run.log.write_text("No module named torch\n", encoding="utf-8")

    stage.acts, stage.ends = {"silent": [shout]}, "import sys; sys.exit(1)"
    stage.turn()
    stage.ends = ""
    stage.work()
    silent = queue.find("silent")
    assert (silent.state, silent.reason) == (
        "failed",
        "The trainer ended before it could say why: No module named torch",
    )
    assert states()["next"] == "finished"


@pytest.mark.skipif(os.name == "nt", reason="has no such signals")
def test_the_signal_that_ended_a_trainer_is_noted(stage: Stage, places: pathlib.Path) -> None:
    add("cat")
    stage.acts, stage.ends = {"cat": [vanish, finish]}, "import os; os.kill(os.getpid(), 9)"
    stage.turn()
    stage.ends = ""
    stage.work()
    noted = ending.read(RunFolder(places / "outputs" / "cat"))
    assert noted is not None
    assert (noted.status, states()) == (-9, {"cat": "finished"})
