"""The queue on the command line: every verb, every refusal, and a real training worked off."""

import pathlib
import subprocess
import sys

import pytest

from tests.trainer import tiny
from trainer.__main__ import main
from trainer.carry_out import new_run
from trainer.job.presets import PRESETS
from trainer.run import folder, presence, queue
from trainer.run.folder import write_text
from trainer.run.home import home

STARTER = str(PRESETS / "sd15" / "starter.json")


@pytest.fixture(autouse=True)
def places(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Home and outputs of the test."""
    monkeypatch.setenv("LORA_ATELIER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LORA_ATELIER_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path


def call(*words: str) -> int:
    return main(["queue", *words])


def added(name: str) -> str:
    assert call("add", STARTER, "--set", f"output.name={name}") == 0
    return queue.entries()[-1].id


def order() -> list[str]:
    return [entry.name for entry in queue.entries()]


def test_jobs_are_added_listed_moved_copied_changed_and_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = added("one"), added("two")
    said = capsys.readouterr().out
    assert f"{one}  one waits in the queue" in said
    assert "python -m trainer queue work" in said
    assert call("move", two, "1") == 0
    assert order() == ["two", "one"]
    assert call("duplicate", two) == 0
    assert call("edit", one[:4], "--set", "training.batch_size=3", "--set", "output.name=three") == 0
    assert order() == ["two", "two", "three"]
    assert queue.entries()[-1].job.training.batch_size == 3
    assert call("remove", two) == 0
    assert call("move", "three", "2") == 0
    capsys.readouterr()
    assert call("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["1", queue.entries()[0].id, "waiting", "two"]
    assert lines[1].split() == ["2", one, "waiting", "three"]


def test_the_queue_is_held_and_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    added("one")
    assert call("hold") == 0
    assert call("work") == 0
    assert queue.entries()[0].state == "waiting"
    assert "held" in capsys.readouterr().out
    assert call("go") == 0
    assert not queue.is_held()


def test_list_tells_of_failures_and_of_what_is_no_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list") == 0
    assert capsys.readouterr().out == "The queue is empty.\n"
    added("one")
    with queue.changing():
        queue.write(queue.entries()[0].but(state="failed", reason="It broke.", advice="Mend it."))
    (queue.place() / "abcdef.json").write_text("{", encoding="utf-8")
    assert call("list") == 0
    said = capsys.readouterr().out
    assert "It broke. Mend it." in said
    assert "abcdef.json" in said
    assert call("again", queue.entries()[0].id) == 0
    assert queue.entries()[0].state == "waiting"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["add", "none.json"], "none.json does not exist"),
        (["add", STARTER, "--set", "adapter.rank=0"], "Rank: must be at least 1"),
        (["add", STARTER, "--set", "dataset.folder=/none"], "There is no folder"),
        (["move", "none", "1"], "There is no entry none"),
        (["edit", "none"], "There is no entry none"),
        (["remove", "none"], "There is no entry none"),
        (["again", "ID"], "neither failed nor been stopped"),
        (["edit", "ID", "--set", "adapter.rnk=4"], "did you mean adapter.rank?"),
        (["edit", "ID", "--set", "dataset.folder=/none"], "There is no folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = added("one")
    capsys.readouterr()
    assert call(*(known if word == "ID" else word for word in words)) == 2
    said = capsys.readouterr()
    assert said.err.startswith("problem: ")
    assert sentence in said.err
    assert order() == ["one"]


def test_nobody_is_sent_to_open_the_page_that_is_open_and_one_whose_trainer_is_gone_is_interrupted(
    capsys: pytest.CaptureFixture[str], places: pathlib.Path
) -> None:
    with presence.present(home(), 7860):
        one = added("one")
    assert "queue work" not in capsys.readouterr().out
    with queue.changing():
        queue.write(queue.find(one).but(state="running", run=str(places / "outputs" / "one")))
    assert call("list") == 0
    assert "interrupted one" in capsys.readouterr().out


def test_a_running_entry_is_to_be_stopped_before_it_is_removed(
    capsys: pytest.CaptureFixture[str], places: pathlib.Path
) -> None:
    known = added("one")
    run = folder.create(places / "outputs", "one")
    with queue.changing():
        queue.write(queue.entries()[0].but(state="running", run=str(run.path)))
    with folder.held(run):
        assert call("remove", known) == 2
    assert f'stop it first (python -m trainer stop "{run.path}")' in capsys.readouterr().err


def test_a_second_worker_is_told_that_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    added("one")
    with folder.locked(queue.worker_lock(), 1):
        assert call("work") == 2
    assert "worked off already" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_said_in_a_sentence(
    places: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (places / "home").write_text("", encoding="utf-8")
    assert call("add", STARTER) == 2
    assert "Check that the disk has space" in capsys.readouterr().err


def test_help_names_every_verb() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "queue", "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("add", "list", "move", "duplicate", "edit", "remove", "again", "hold", "go", "work"):
        assert f"    {verb} " in done.stdout or f"    {verb}\n" in done.stdout


def test_a_run_of_the_queue_that_is_resumed_by_hand_runs_in_the_queue_too(
    tiny_model: pathlib.Path, places: pathlib.Path
) -> None:
    job = tiny.job(places, tiny_model, {"training": {"steps": 1, "epochs": 0}, "samples": {"prompts": []}})
    run = new_run(job)
    entry = queue.add(job)
    with queue.changing():
        queue.write(entry.but(state="stopped", run=str(run.path)))
    assert main(["resume", str(run.path)]) == 0
    assert queue.find(entry.id).state == "running"
    assert call("work") == 0
    assert queue.find(entry.id).state == "finished"


def test_a_real_training_is_worked_off(tiny_model: pathlib.Path, places: pathlib.Path) -> None:
    job = tiny.job(places, tiny_model, {"training": {"steps": 1, "epochs": 0}, "samples": {"prompts": []}})
    write_text(places / "job.json", job.model_dump_json())
    assert call("add", str(places / "job.json")) == 0
    command = [sys.executable, "-m", "trainer", "queue", "work"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["tiny: finished", "Nothing waits in the queue."]
    assert (places / "out" / "tiny" / "weights" / "tiny.safetensors").is_file()
