"""From run folders, also torn, resumed, long and hostile ones, to what a page shows."""

import errno
import json
import os
import pathlib
import time
from collections.abc import Iterable
from typing import BinaryIO

import pytest

from app import event_files, watch
from trainer.job.settings import Job
from trainer.run import events, folder
from trainer.run.folder import RunFolder

LATE_S = 1000.0


@pytest.fixture
def run(tmp_path: pathlib.Path) -> RunFolder:
    """A run that has only just been created."""
    new = folder.create(tmp_path / "outputs", "robot")
    folder.write_job(new, Job(), {})
    return new


def started(first_step: int = 0, at: float = 100.0) -> events.Started:
    return events.Started(
        time=at,
        name="robot",
        first_step=first_step,
        steps=40,
        steps_per_epoch=10,
        epochs=4,
        pictures=10,
        prompts=["a robot"],
        device="cpu",
    )


def step(number: int, at: float, loss: float = 0.5) -> events.Step:
    return events.Step(time=at, step=number, epoch=(number - 1) // 10 + 1, loss=loss, learning_rate=1e-4)


def sample(run: RunFolder, epoch: int, prompt: int, text: str = "a robot") -> events.Sample:
    file = run.sample_file("robot", epoch, prompt, 42)
    file.write_bytes(b"a picture")
    return events.Sample(
        epoch=epoch,
        step=epoch * 10,
        prompt=prompt,
        text=text,
        seed=42,
        file=f"samples/{file.name}",
        width_px=128,
        height_px=128,
    )


def write(run: RunFolder, *happened: events.Event) -> None:
    log = events.EventLog(run.events)
    for event in happened:
        log.write(event)
    log.flush()


def all_rows(run: RunFolder) -> Iterable[list[float]]:
    offset, more = 0, True
    while more:
        found = watch.updates(run, offset)
        yield from found["rows"]
        offset, more = found["next"], found["more"]


def age(run: RunFolder, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: now)


def test_a_new_run_is_waiting_until_its_trainer_should_have_come(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watch.overview(run)["state"] == "waiting"
    age(run, watch.START_GRACE_S + 1, monkeypatch)
    assert watch.overview(run)["state"] == "interrupted"


def test_a_run_whose_lock_is_held_is_running_and_one_whose_lock_is_free_is_interrupted(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0))
    with folder.held(run):
        assert watch.overview(run)["state"] == "running"
    assert watch.overview(run)["state"] == "interrupted"


def test_the_last_word_of_a_trainer_is_the_state_of_its_run(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0), events.Failed(time=102.0, reason="Out of memory.", advice="Less."))
    found = watch.overview(run)
    assert (found["state"], found["reason"], found["advice"]) == ("failed", "Out of memory.", "Less.")
    write(run, started(1), events.Stopped(step=7, epoch=1, file="weights/robot-step00000007.safetensors"))
    found = watch.overview(run)
    assert (found["state"], found["step"], found["reason"]) == ("stopped", 7, "")


def test_the_loss_of_the_last_step_is_found_before_many_samples_with_long_prompts(run: RunFolder) -> None:
    samples = [sample(run, 4, number, "a robot, " * 60) for number in range(1, 21)]
    write(run, started(), step(40, 101.0, 0.25), *samples, events.Finished(step=40, file="", grid="", training_s=1.0))
    assert (watch.overview(run)["loss"], watch.overview(run)["step"]) == (0.25, 40)


def test_a_resumed_run_is_waiting_before_its_trainer_has_said_anything(run: RunFolder) -> None:
    write(run, started(), events.Stopped(time=time.time() - LATE_S, step=7, epoch=1, file=""))
    assert watch.overview(run)["state"] == "stopped"
    with folder.held(run):
        assert watch.overview(run)["state"] == "waiting"
        write(run, started(7), step(8, 200.0))
        assert watch.overview(run)["state"] == "running"


def test_a_run_resumed_at_once_is_waiting_as_soon_as_its_trainer_says_something(run: RunFolder) -> None:
    write(run, started(), events.Stopped(step=7, epoch=1, file=""))
    with folder.held(run):
        assert watch.overview(run)["state"] == "stopped"
        write(run, events.Stage(text="Loading the program"))
        assert watch.overview(run)["state"] == "waiting"


def test_the_time_left_ignores_a_pause_and_counts_what_lies_between_epochs(run: RunFolder) -> None:
    first = [step(number, 100.0 + number) for number in range(1, 11)]
    between = [events.Epoch(time=110.0, epoch=1, step=10, loss=0.5)]
    # 20 s of sampling, then one hour of sleep in the middle of epoch 2.
    second = [step(number, 120.0 + number + (3600 if number > 15 else 0)) for number in range(11, 21)]
    write(run, started(), *first, *between, *second)
    with folder.held(run):
        assert watch.overview(run)["left_s"] == pytest.approx(20 * 1.0 + 2 * 21, abs=1)


def test_a_loss_that_is_lost_with_its_steps_is_not_shown_of_the_trainer_that_begins_anew(run: RunFolder) -> None:
    log = events.EventLog(run.events)
    for event in (started(), step(1, 101.0, loss=0.5), step(2, 102.0, loss=0.75), started(first_step=1, at=200.0)):
        log.write(event)
    log.flush()
    assert (watch.overview(run)["step"], watch.overview(run)["loss"]) == (1, 0.5)
    log.write(started(first_step=0, at=300.0))
    assert (watch.overview(run)["step"], watch.overview(run)["loss"]) == (0, None)
    log.write(step(1, 301.0, loss=0.25))
    log.flush()
    assert watch.overview(run)["loss"] == 0.25


def test_the_time_left_ignores_the_gap_before_a_resume(run: RunFolder) -> None:
    old = [step(number, 100.0 + number) for number in range(1, 11)]
    new = [step(number, 90_000.0 + 2 * number) for number in range(6, 21)]
    write(run, started(), *old, started(5, at=90_000.0), *new)
    with folder.held(run):
        left = watch.overview(run)["left_s"]
    assert 20 < left < 41


def test_updates_go_on_where_the_last_ones_ended(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0), step(2, 102.0))
    found = watch.updates(run, 0)
    assert [row[0] for row in found["rows"]] == [1, 2]
    assert not found["more"]
    assert watch.updates(run, found["next"])["rows"] == []
    write(run, step(3, 103.0), events.Warned(text="Careful."))
    later = watch.updates(run, found["next"])
    assert [row[0] for row in later["rows"]] == [3]
    assert [warning["text"] for warning in later["warnings"]] == ["Careful."]


def test_a_torn_last_line_is_left_for_the_next_call(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0))
    line = step(2, 102.0).model_dump_json()
    with run.events.open("a") as stream:
        stream.write(line[:30])
    found = watch.updates(run, 0)
    assert [row[0] for row in found["rows"]] == [1]
    assert watch.overview(run)["step"] == 1
    with run.events.open("a") as stream:
        stream.write(line[30:] + "\n")
    assert [row[0] for row in watch.updates(run, found["next"])["rows"]] == [2]


def test_a_line_torn_by_a_kill_loses_nothing_after_it(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0))
    with run.events.open("a") as stream:
        stream.write('{"kind":"step","st')
    write(run, started(1), step(2, 102.0))
    assert [row[0] for row in watch.updates(run, 0)["rows"]] == [1, 2]


def test_steps_done_again_after_a_resume_replace_the_former_ones(run: RunFolder) -> None:
    write(run, started(), *[step(number, 100.0 + number, 1.0) for number in range(1, 9)])
    offset = watch.updates(run, 0)["next"]
    write(run, started(5), *[step(number, 200.0 + number, 2.0) for number in range(6, 8)])
    assert [row[:2] for row in watch.updates(run, 0)["rows"]] == [*((n, 1.0) for n in range(1, 6)), (6, 2.0), (7, 2.0)]
    later = watch.updates(run, offset)
    assert later["back_to"] == 6
    assert [row[0] for row in later["rows"]] == [6, 7]
    assert watch.overview(run)["step"] == 7


def test_other_events_than_before_are_read_from_the_start(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0))
    found = watch.updates(run, 10_000_000)
    assert found["reset"]
    assert len(found["rows"]) == 1


def test_a_diverged_loss_is_none(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0, float("nan")))
    with run.events.open("a") as stream:
        stream.write('{"kind":"step","step":2,"loss":NaN,"learning_rate":Infinity}\n')
    rows = watch.updates(run, 0)["rows"]
    assert [row[1] for row in rows] == [None, None]
    json.dumps([rows, watch.overview(run)], allow_nan=False)


def test_thirty_thousand_steps_come_in_bounded_parts_and_the_overview_reads_little(run: RunFolder) -> None:
    log = events.EventLog(run.events)
    log.write(started())
    for number in range(1, 30_001):
        log.write(step(number, 100.0 + number))
    log.flush()
    assert len(watch.updates(run, 0)["rows"]) <= event_files.EVENTS_PER_CALL
    assert [row[0] for row in all_rows(run)] == list(range(1, 30_001))
    begun = time.perf_counter()
    for _ in range(20):
        found = watch.overview(run)
    assert (time.perf_counter() - begun) / 20 < 0.05
    assert (found["step"], found["steps"]) == (30_000, 40)


def test_the_beginning_is_found_behind_thousands_of_stages(run: RunFolder) -> None:
    stages = [events.Stage(text="Caching latents", done=done, total=3000) for done in range(3000)]
    write(run, *stages, started(), *[step(number, 100.0 + number) for number in range(1, 400)])
    assert watch.overview(run)["steps"] == 40


def test_a_stage_is_shown_only_while_it_lasts(run: RunFolder) -> None:
    write(run, events.Stage(text="Caching latents", done=12, total=64))
    with folder.held(run):
        assert watch.overview(run)["stage"] == {"text": "Caching latents", "done": 12, "total": 64}
        write(run, started(), step(1, 101.0))
        assert watch.overview(run)["stage"] is None


def test_the_sample_table_has_the_base_row_first_and_gaps_where_pictures_are_missing(run: RunFolder) -> None:
    happened = [sample(run, epoch, prompt, f"prompt {prompt}") for epoch in (2, 0, 1) for prompt in (1, 2)]
    write(run, started(), *happened)
    run.sample_file("robot", 1, 2, 42).unlink()
    table = watch.sample_table(run)
    assert [prompt["text"] for prompt in table["prompts"]] == ["prompt 1", "prompt 2"]
    assert [row["epoch"] for row in table["rows"]] == [0, 1, 2]
    assert table["rows"][1]["cells"][1] is None
    assert table["rows"][2]["cells"][0]["file"] == "robot_e0002_p01_s42.png"


def test_a_table_of_very_many_samples_is_cut(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_PROMPTS", 2)
    monkeypatch.setattr(watch, "MOST_CELLS", 5)
    write(run, started(), *[sample(run, epoch, prompt) for epoch in range(4) for prompt in range(1, 4)])
    table = watch.sample_table(run)
    assert [len(row["cells"]) for row in table["rows"]] == [2, 2]


def test_the_version_of_the_sample_table_changes_with_every_sample_told_of_and_every_picture(run: RunFolder) -> None:
    told = sample(run, 1, 1)
    versions = [watch.sample_version(run)]
    write(run, told)
    versions.append(watch.sample_version(run))
    write(run, step(11, 100.0))
    assert watch.sample_version(run) == versions[-1]
    write(run, told.model_copy(update={"time": told.time + 1.0}))
    versions.append(watch.sample_version(run))
    os.utime(run.samples, (1.0, 1.0))
    versions.append(watch.sample_version(run))
    assert len(set(versions)) == len(versions)


def test_samples_made_within_an_epoch_stand_between_its_ends(run: RunFolder) -> None:
    within = sample(run, 2, 1).model_copy(update={"epoch": 1.25, "step": 5})
    write(run, started(), sample(run, 1, 1), within)
    assert [row["epoch"] for row in watch.sample_table(run)["rows"]] == [1, 1.25]


def test_a_sample_outside_of_the_run_is_no_sample(run: RunFolder, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    fields = {"kind": "sample", "epoch": 1, "prompt": 1, "seed": 1}
    for file in ("../../secret.png", str(tmp_path / "secret.png"), "..\\..\\secret.png"):
        with run.events.open("a") as stream:
            stream.write(json.dumps({**fields, "file": file}) + "\n")
    assert watch.sample_table(run)["rows"] == []


def test_a_hostile_run_folder_is_read_without_an_error(run: RunFolder) -> None:
    kinds = ("started", "stage", "step", "epoch", "sample", "saved", "warned", "validated", "failed", "finished")
    wrong: tuple[object, ...] = (None, True, "<script>", [1], {"a": 1}, 1e308, -5)
    names = ("time", "step", "steps", "epoch", "loss", "file", "text", "steps_per_epoch", "first_step", "training_s")
    with run.events.open("ab") as stream:
        for kind in kinds:
            stream.write(json.dumps({"kind": kind}).encode() + b"\n")
            for value in wrong:
                stream.write(json.dumps({"kind": kind, **dict.fromkeys(names, value)}).encode() + b"\n")
        stream.write(b'\xff\xfe\x00 not text\n[]\n{"kind":7}\n"text"\n')
    found = [watch.overview(run), watch.updates(run, 0), watch.sample_table(run)]
    json.dumps(found, allow_nan=False)


def test_the_log_tail_keeps_the_last_state_of_a_progress_bar_and_no_colours(run: RunFolder) -> None:
    run.log.write_bytes("eins\n10%\r50%\r100%\n\x1b[31mröt\x1b[0m \xff\n".encode("latin-1"))
    assert watch.log_tail(run, 2) == "100%\nr�t �"
    assert watch.log_tail(run, 0) == ""


def test_an_empty_folder_has_nothing_to_show(tmp_path: pathlib.Path) -> None:
    nothing = RunFolder(tmp_path / "nothing")
    assert watch.overview(nothing)["state"] == "interrupted"
    assert watch.updates(nothing, 0)["rows"] == []
    assert watch.sample_table(nothing)["rows"] == []
    assert watch.log_tail(nothing, 5) == ""


def test_a_run_that_waits_is_paused_until_it_goes_on_or_has_lost_its_trainer(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0), events.Paused(step=1, epoch=1))
    with folder.held(run):
        assert watch.overview(run)["state"] == "paused"
        write(run, events.Resumed(step=1, epoch=1), step(2, 102.0))
        assert watch.overview(run)["state"] == "running"
        write(run, events.Paused(step=2, epoch=1))
    assert watch.overview(run)["state"] == "interrupted"


def test_an_epoch_that_is_done_again_after_a_kill_is_shown_once(run: RunFolder) -> None:
    def ended(epoch: int, loss: float) -> events.Epoch:
        return events.Epoch(epoch=epoch, step=10 * epoch, loss=loss)

    write(run, started(), ended(1, 0.5), ended(2, 0.4), started(15, at=200.0), ended(2, 0.4), started(20, at=300.0))
    assert watch.updates(run, 0)["epochs"] == [[1, 10, 0.5], [2, 20, 0.4]]


def test_a_living_trainer_that_is_silent_for_long_is_said_to_be(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, events.Stage(text="loading the base model"))
    with folder.held(run):
        age(run, 500, monkeypatch)
        assert watch.overview(run)["stage"]["text"] == "loading the base model"
        age(run, 240, monkeypatch)  # and another 500
        said = watch.overview(run)["stage"]["text"]
    assert said.startswith("Nothing has been heard of this training for 12 minutes, since “loading the base model”.")
    assert "press Resume" in said


def test_what_is_slow_anyway_is_given_more_time(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    write(run, started(at=now - 400), *(step(number, now - 400 + 60 * number) for number in range(1, 6)))
    with folder.held(run):
        age(run, 29 * 60, monkeypatch)
        assert watch.overview(run)["stage"] is None
        age(run, 120, monkeypatch)
        assert watch.overview(run)["stage"]["text"].startswith(
            "Nothing has been heard of this training for 31 minutes."
        )


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_before_a_trainer_has_come_leaves_a_run_to_be_resumed(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    age(run, jump_s, monkeypatch)
    assert watch.overview(run)["state"] == "interrupted"
    with folder.held(run):
        assert watch.overview(run)["state"] == "waiting"


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_jumps_makes_no_ended_run_of_one_that_is_resumed(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    write(run, started(), events.Stopped(step=7, epoch=1, file=""))
    age(run, jump_s, monkeypatch)
    with folder.held(run):
        assert watch.overview(run)["state"] == "waiting"


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
def test_a_clock_that_jumps_changes_neither_time_left_nor_time_taken(run: RunFolder, jump_s: float) -> None:
    def timed(number: int) -> events.Step:
        at = 100.0 + number + (jump_s if number > 15 else 0)
        return step(number, at).model_copy(update={"training_s": 500.0 + number})

    first = started().model_copy(update={"training_s": 500.0})
    write(run, first, *map(timed, range(1, 21)))
    with folder.held(run):
        found = watch.overview(run)
    assert found["left_s"] == pytest.approx(20.0)
    assert found["duration_s"] == pytest.approx(520.0)
    write(run, events.Finished(time=0.0, step=40, file="", grid="", training_s=540.0))
    assert watch.overview(run)["duration_s"] == 540.0


def test_the_time_taken_of_a_run_of_before_it_was_told_is_that_of_its_last_sitting(run: RunFolder) -> None:
    lines = [started(at=100.0), step(1, 130.0)]
    with run.events.open("w") as stream:
        stream.writelines(line.model_dump_json(exclude={"training_s"}) + "\n" for line in lines)
    assert watch.overview(run)["duration_s"] == pytest.approx(30.0)


def test_what_could_not_be_read_once_is_not_remembered(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    write(run, started(), step(1, 101.0), events.Finished(step=40, file="", grid="", training_s=1.0))

    def no_more_files(path: object) -> BinaryIO:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(event_files, "open_file", no_more_files)
        assert watch.overview(run)["state"] != "finished"
    assert watch.overview(run)["state"] == "finished"


def test_a_run_that_vanishes_or_may_not_be_read_is_shown_without_an_error(run: RunFolder) -> None:
    for path in (run.events, run.log):
        path.mkdir()
    run.samples.rmdir()
    run.samples.write_text("no folder")
    found = [watch.overview(run), watch.updates(run, 0), watch.sample_table(run), watch.log_tail(run, 5)]
    json.dumps(found, allow_nan=False)


def test_a_run_whose_next_trainer_was_killed_while_it_loaded_is_interrupted(run: RunFolder) -> None:
    write(run, started(), step(1, 101.0), events.Stopped(time=102.0, step=1, epoch=1, file=""))
    assert watch.overview(run)["state"] == "stopped"
    write(run, events.Stage(time=200.0, text="loading the base model"))
    assert watch.overview(run)["state"] == "interrupted"
