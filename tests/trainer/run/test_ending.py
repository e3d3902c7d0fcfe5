"""What is noted of trainers that could not say themselves how they have ended."""

import pathlib
import signal
import subprocess
import sys

import pytest

from trainer.job.settings import Job
from trainer.run import ending, events, folder
from trainer.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunFolder:
    """A run that no trainer has touched yet."""
    new = folder.create(tmp_path, "robot")
    folder.write_job(new, Job(), {})
    return new


def ended(run: RunFolder, program: str) -> int:
    """Notes the end of a process that has run `program`; its exit status."""
    before = ending.before(run)
    with run.log.open("ab") as log:
        status = subprocess.run([sys.executable, "-c", program], stdout=log, stderr=log, check=False).returncode
    ending.note(run, status, before)
    return status


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in events.read(run.events)[0]]


def test_one_that_dies_before_its_first_event_has_failed_with_its_last_line(run: RunFolder) -> None:
    events.EventLog(run.events).write(events.Stopped(step=3, epoch=1, file=""))
    ended(run, "import no_such_library")
    (_, failed) = events.read(run.events)[0]
    assert failed["kind"] == "failed"
    assert "No module named 'no_such_library'" in failed["reason"]
    assert failed["action"] == "open_doctor"
    assert ending.read(run) is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_one_that_was_killed_is_noted_with_its_signal(run: RunFolder) -> None:
    ended(run, "import os; os.kill(os.getpid(), 9)")
    found = ending.read(run)
    assert found is not None
    assert (found.status, found.starved) == (-signal.SIGKILL, False)
    assert kinds(run) == []


def test_what_a_trainer_has_said_itself_is_left_at_that(run: RunFolder) -> None:
    before = ending.before(run)
    events.EventLog(run.events).write(events.Failed(reason="It rains.", advice="Wait."))
    ending.note(run, 1, before)
    assert kinds(run) == ["failed"]
    assert not run.ending.exists()


def test_a_finished_run_stays_so_when_a_trainer_is_begun_that_has_nothing_to_do(run: RunFolder) -> None:
    log = events.EventLog(run.events)
    log.write(events.Finished(step=9, file="", grid="", training_s=1.0))
    assert ended(run, "raise SystemExit(2)") == 2
    assert kinds(run) == ["finished"]
    log.write(events.Warned(text="once more"))
    log.write(events.Failed(reason="It rains.", advice="Wait."))
    ended(run, "raise SystemExit(2)")
    assert kinds(run) == ["finished", "warned", "failed", "failed"]


def test_a_run_that_has_another_trainer_by_now_is_left_alone(run: RunFolder) -> None:
    with folder.held(run):
        ended(run, "raise SystemExit(3)")
    assert kinds(run) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"time": "x"}', '{"time": 1, "status": 1e999, "starved": 0}'])
def test_a_note_that_makes_no_sense_is_none(run: RunFolder, text: str) -> None:
    run.ending.write_text(text, encoding="utf-8")
    assert ending.read(run) is None
