"""What is told of a run whose trainer has ended without a word."""

import json
import os
import pathlib
import re
import time

import pytest

from app import interruption
from app.words import table
from trainer.job.settings import Job
from trainer.job.words import say
from trainer.run import events, folder
from trainer.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunFolder:
    """A run with steps 1 to 6 told just now, of which 1 to 4 are in its state."""
    new = folder.create(tmp_path / "outputs", "robot")
    folder.write_job(new, Job(), {})
    log = events.EventLog(new.events)
    for step in range(1, 7):
        log.write(events.Step(step=step, epoch=1, loss=0.5, learning_rate=1e-4))
        if step == 4:
            log.write(events.Keeping(step=4, epoch=1))
            (new.state / "resume.pt").write_bytes(b"a state")
            os.utime(new.state / "resume.pt", (time.time() + 1,) * 2)
    log.flush()
    return new


def note(run: RunFolder, status: int, starved: bool = False, age_s: float = 0.0) -> None:
    note = {"time": time.time() - age_s, "status": status, "starved": starved}
    run.ending.write_text(json.dumps(note), encoding="utf-8")


def test_which_steps_are_done_again_is_told(run: RunFolder) -> None:
    found = interruption.told(run)
    assert (found["kept_step"], found["again"]) == (4, 2)
    assert abs(found["since"] - time.time()) < 60


def test_a_state_that_was_announced_but_not_written_does_not_count(run: RunFolder) -> None:
    os.utime(run.state / "resume.pt", (time.time() - 100, time.time() - 100))
    assert (interruption.told(run)["kept_step"], interruption.told(run)["again"]) == (0, 6)


def test_a_run_without_any_event_is_told_of_too(tmp_path: pathlib.Path) -> None:
    found = interruption.told(folder.create(tmp_path / "outputs", "bare"))
    assert (found["since"], found["kept_step"], found["again"]) == (None, 0, 0)


@pytest.mark.parametrize(
    ("status", "starved", "cause"),
    [
        (-9, True, "starved"),
        (-9, False, "killed"),
        (-15, False, "ended"),
        (-11, False, "crashed"),
        (0xC0000005, False, "crashed"),
    ],
)
def test_the_signal_tells_the_cause(run: RunFolder, status: int, starved: bool, cause: str) -> None:
    note(run, status, starved)
    found = interruption.told(run)
    assert found["advice"] == table()[f"interrupted.{cause}_advice"]
    assert (found["action"] == "open_doctor") == (cause == "crashed")


def test_the_end_of_an_earlier_trainer_tells_nothing(run: RunFolder) -> None:
    note(run, -11, age_s=1000)
    assert interruption.told(run)["advice"] == table()["interrupted.unknown_advice"]


def test_a_crash_is_known_from_the_log_but_not_from_that_of_an_earlier_trainer(run: RunFolder) -> None:
    run.log.write_text("Fatal Python error: Segmentation fault\n\nCurrent thread:\n", encoding="utf-8")
    assert "Segmentation fault" in interruption.told(run)["reason"]
    with run.log.open("a", encoding="utf-8") as log:
        log.write(say("stage_program") + "\n")
    assert interruption.told(run)["advice"] == table()["interrupted.unknown_advice"]


def test_every_cause_has_a_sentence_and_an_advice() -> None:
    source = pathlib.Path(interruption.__file__).read_text(encoding="utf-8")
    keys = {key for key in table() if key.startswith("interrupted.")}
    causes = {key for key in keys if not key.endswith("_advice")}
    assert keys == causes | {f"{cause}_advice" for cause in causes}
    named = set(re.findall(r'"([a-z]+)"', source))
    assert {cause.removeprefix("interrupted.") for cause in causes} <= named
