"""What is asked of a training while it goes on is answered within a step, and changes nothing of what is learned."""

import pathlib
from collections.abc import Callable

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer import tiny
from trainer.engine.loop import train
from trainer.job.settings import Job
from trainer.run import events, folder
from trainer.run.folder import RunFolder

When = Callable[[events.Event, RunFolder], None]
SAMPLES = {"prompts": ["a red thing"], "steps": 1, "width_px": 32, "height_px": 32, "baseline": False}


@pytest.fixture
def job(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> Job:
    """Two epochs of three steps each."""
    tiny.pictures(tmp_path / "data", 3)
    output = {"save_precision": "fp32", "save_state_every_minutes": 0}
    return tiny.job(tmp_path, tiny_model, {"output": output, "samples": SAMPLES})


def trained(job: Job, when: When, run: RunFolder | None = None) -> tuple[RunFolder, list[events.Event]]:
    run, seen = run or folder.create(pathlib.Path(job.output.folder), job.output.name), list[events.Event]()

    def tell(event: events.Event) -> None:
        seen.append(event)
        when(event, run)

    train(job, run, tell)
    return run, seen


class Killed(Exception):
    """Stands for the end of a process."""


def nothing(event: events.Event, run: RunFolder) -> None:
    """Asks for nothing."""


def kinds(seen: list[events.Event]) -> list[str]:
    return [event.kind for event in seen if event.kind != "stage"]


def assert_same_result(one: RunFolder, other: RunFolder) -> None:
    tensors, others = (load_file(run.weights / "tiny.safetensors") for run in (one, other))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_a_pause_waits_answers_and_goes_on_to_the_same_bits(job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            folder.request(run, "pause")
        elif event.kind == "paused":
            folder.request(run, "save")
            folder.request(run, "sample")
        elif event.kind == "sample" and event.step == 2:
            folder.take_request(run, "pause")

    run, seen = trained(job, when)
    heard = ["asked", "asked", "saved", "sample"]
    expected = ["started", "step", "step", "keeping", "paused", *heard, "resumed", "step"]
    assert kinds(seen)[: len(expected)] == expected
    # How long the pause was decides whether the state is due before the samples of the epoch too.
    assert next(kind for kind in kinds(seen)[len(expected) :] if kind != "keeping") == "epoch"
    assert_same_result(run, trained(job, nothing)[0])


@pytest.mark.parametrize("pause_at", [2, 3])
def test_a_pause_can_be_stopped_and_resumed_with_nothing_missing(job: Job, pause_at: int) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == pause_at:
            folder.request(run, "pause")
        elif event.kind == "paused":
            folder.request(run, "stop")

    whole, usual = trained(job, nothing)
    run, seen = trained(job, when)
    assert (seen[-1].kind, seen[-1].step) == ("stopped", pause_at)
    folder.forget_requests(run)
    _, again = trained(job, nothing, run)
    assert kinds([*seen, *again]).count("epoch") == 2
    samples = [[event.file for event in all_ if event.kind == "sample"] for all_ in (usual, [*seen, *again])]
    assert samples[0] == samples[1]
    assert_same_result(run, whole)


def test_what_was_due_at_the_step_of_a_stop_is_made_when_it_is_resumed(job: Job) -> None:
    often = job.model_copy(
        update={
            "samples": job.samples.model_copy(update={"every_steps": 2}),
            "output": job.output.model_copy(update={"save_every_steps": 2}),
        }
    )

    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            folder.request(run, "stop")

    run, seen = trained(often, when)
    assert "sample" not in kinds(seen)
    _, again = trained(often, nothing, run)
    assert [event.step for event in again if event.kind == "sample"] == [2, 3, 4, 6]
    names = {path.name for path in run.weights.iterdir()}
    assert names == {f"tiny{end}.safetensors" for end in ("-step00000002", "-000001", "-step00000004", "")}


def test_a_run_resumed_on_another_data_set_says_what_has_changed(tmp_path: pathlib.Path, job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            folder.request(run, "stop")

    run, seen = trained(job, when)
    (tmp_path / "data" / "2_thing" / "0.txt").write_text("another caption", encoding="utf-8")
    _, again = trained(job, nothing, run)
    said = [[event.text for event in each if event.kind == "warned"] for each in (seen, again)]
    assert said[0] == []
    assert len(said[1]) == 1
    assert said[1][0].startswith("The data set has changed since this run began: 1 caption is another one.")


def test_a_stop_that_is_heard_together_with_a_pause_ends_it(job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            folder.request(run, "pause")
            folder.request(run, "stop")

    run, seen = trained(job, when)
    assert (seen[-1].kind, seen[-1].step) == ("stopped", 2)
    assert "paused" not in kinds(seen)
    folder.forget_requests(run)
    assert_same_result(trained(job, nothing, run)[0], trained(job, nothing)[0])


def test_what_is_heard_together_with_a_pause_is_done_in_it(job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            for what in ("pause", "save", "sample", "stop_after_epoch"):
                folder.request(run, what)
        elif event.kind == "sample" and event.step == 2:
            folder.take_request(run, "pause")

    _, seen = trained(job, when)
    expected = ["paused", "saved", "sample", "resumed", "step", "epoch"]
    begins = kinds(seen).index("paused")
    assert kinds(seen)[begins : begins + len(expected)] == expected
    assert (seen[-1].kind, seen[-1].step) == ("stopped", 3)


def test_a_stop_after_the_epoch_comes_there_and_not_before(job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 1:
            folder.request(run, "stop_after_epoch")

    run, seen = trained(job, when)
    assert (seen[-1].kind, seen[-1].step) == ("stopped", 3)
    assert_same_result(trained(job, nothing, run)[0], trained(job, nothing)[0])


def test_a_file_samples_and_the_state_come_at_once_when_asked_for(job: Job) -> None:
    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "step" and event.step == 2:
            folder.request(run, "save")
            folder.request(run, "sample")

    run, seen = trained(job, when)
    assert kinds(seen)[3:9] == ["asked", "asked", "keeping", "saved", "sample", "keeping"]
    assert (run.weights / "tiny-step00000002.safetensors").is_file()
    drawn = [(event.done, event.total) for event in seen if event.kind == "stage" and "sample" in event.text]
    steps = job.samples.steps
    assert drawn[: steps + 1] == [(done, steps) for done in range(steps + 1)]
    silent = job.model_copy(update={"samples": job.samples.model_copy(update={"prompts": []})})
    _, seen = trained(silent, when)
    assert [event.text for event in seen if event.kind == "warned"] == [
        "No samples were drawn: this training has no prompts."
    ]


def test_the_state_is_saved_within_an_epoch_and_resumed_to_the_same_bits(job: Job) -> None:
    """The smallest of all intervals: only that saving may not take much of the time keeps it from every step."""
    often = job.model_copy(update={"output": job.output.model_copy(update={"save_state_every_minutes": 1e-9})})

    def when(event: events.Event, run: RunFolder) -> None:
        kept.extend([event.step] if event.kind == "keeping" else [])
        if event.kind == "step" and event.step == 6:
            raise Killed

    kept: list[int] = []
    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    with pytest.raises(Killed):
        trained(often, when, run)
    assert 1 in kept
    assert_same_result(trained(often, nothing, run)[0], trained(job, nothing)[0])


def test_a_trainer_killed_while_it_draws_goes_on_behind_its_last_step_and_draws_what_it_owes(job: Job) -> None:
    two = job.model_copy(update={"samples": job.samples.model_copy(update={"prompts": ["a red thing", "a thing"]})})

    def when(event: events.Event, run: RunFolder) -> None:
        if event.kind == "sample" and event.step == 3:
            raise Killed

    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    with pytest.raises(Killed):
        trained(two, when, run)
    _, again = trained(two, nothing, run)
    assert [event.first_step for event in again if event.kind == "started"] == [3]
    assert [(event.step, event.prompt) for event in again if event.kind == "sample"] == [(3, 1), (3, 2), (6, 1), (6, 2)]
    whole, _ = trained(two, nothing)
    assert_same_result(run, whole)
    assert all(path.read_bytes() == (whole.samples / path.name).read_bytes() for path in run.samples.glob("*_p*.png"))


@pytest.mark.parametrize("at", [0, 2, 3, 6])
def test_a_stop_does_not_wait_for_samples_which_are_drawn_when_it_is_resumed(job: Job, at: int) -> None:
    often = {"every_steps": 2, "baseline": True}
    drawn = job.model_copy(update={"samples": job.samples.model_copy(update=often)})
    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    began: list[int] = []

    def when(event: events.Event, run: RunFolder) -> None:
        began.extend([event.step] if event.kind == "step" else [])
        if event.kind == "stage" and "sample" in event.text and (began or [0])[-1] == at:
            folder.request(run, "stop")

    _, seen = trained(drawn, when, run)
    assert (seen[-1].kind, seen[-1].step) == ("stopped", at)
    assert at not in [event.step for event in seen if event.kind == "sample"]
    _, again = trained(drawn, nothing, run)
    assert again[-1].kind == "finished"
    assert at in [event.step for event in again if event.kind == "sample"]
    whole, usual = trained(drawn, nothing)
    assert_same_result(run, whole)
    assert {path.name for path in run.samples.iterdir()} == {path.name for path in whole.samples.iterdir()}
    last = {event.epoch: event.loss for event in [*seen, *again] if event.kind == "epoch"}
    assert last == {event.epoch: event.loss for event in usual if event.kind == "epoch"}
