"""A run whose job.json was edited before it goes on: what can count from then on does, the rest is refused."""

import pathlib
import time
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from trainer.engine import checkpoint
from trainer.job.fields import flatten, nest, parse
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events
from trainer.run.folder import RunFolder

CONSTANT = {"schedule": "constant", "learning_rate": 0.01}


def stopped(folder: pathlib.Path, base: pathlib.Path, **training: Any) -> tuple[Job, RunFolder]:
    """A run that was stopped after its fourth step of twelve."""
    job = tiny.job(folder, base, {"training": {**CONSTANT, **training}, "output": {"save_precision": "fp32"}})
    return job, carried_out(job, stop_at=4)[0]


def edited(job: Job, **values: Any) -> Job:
    """`job` with other values of `section__name`."""
    return parse(nest({**flatten(job), **{path.replace("__", "."): value for path, value in values.items()}}))


def said(seen: list[events.Event]) -> list[str]:
    return [event.text for event in seen if isinstance(event, events.Warned)]


def test_another_learning_rate_counts_from_the_step_it_went_on_at(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job, run = stopped(tmp_path, tiny_model)
    seen = told(edited(job, training__learning_rate=1e-12, training__text_encoder_learning_rate=1e-12), run)
    assert said(seen) == [
        "The settings have changed since step 4: Learning rate: 0.01 → 1e-12, Text encoder learning rate: 0.01 → 1e-12."
        " They count from here on."
    ]
    assert [event.learning_rate for event in seen if isinstance(event, events.Step)] == [1e-12] * 8
    # At next to no rate nothing more is learned, so the end is what the stop left.
    before, after = load_file(run.weights / "tiny-step00000004.safetensors"), final(run)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_settings_of_the_optimizer_count_likewise(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = stopped(tmp_path, tiny_model)
    told(edited(job, training__optimizer_args={"weight_decay": 0.9}), run)
    same, other = stopped(tmp_path, tiny_model)
    told(same, other)
    assert not equal(final(run), final(other))


def test_nothing_is_said_of_a_job_that_is_the_same(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = stopped(tmp_path, tiny_model)
    assert said(told(job, run)) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"adapter__rank": 4}, r"does not fit its settings any more: Rank: 2 → 4\. Set them back in its job\.json"),
        ({"training__text_encoder": False}, r"does not fit .*: Train text encoder: True → False\."),
        ({"training__optimizer": "Prodigy"}, r"was trained by AdamW so far, and cannot go on with Prodigy\. Set the"),
    ],
)
def test_what_the_state_cannot_follow_is_refused_and_can_be_set_back(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, values: dict[str, Any], sentence: str
) -> None:
    job, run = stopped(tmp_path, tiny_model, text_encoder_learning_rate=0.01)
    with pytest.raises(Trouble, match=sentence):
        told(edited(job, **values), run)
    assert isinstance(told(job, run)[-1], events.Finished)


def test_a_damaged_state_says_how_to_begin_anew(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = stopped(tmp_path, tiny_model)
    state = run.state / "resume.pt"
    state.write_bytes(state.read_bytes()[:-200])
    with pytest.raises(Trouble, match=r"The state of tiny cannot be read: .* Move the file out of the state folder"):
        told(job, run)
    state.unlink()
    assert isinstance(told(job, run)[-1], events.Finished)


def test_memory_that_does_not_suffice_for_going_on_leaves_the_state_in_its_rights(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run = stopped(tmp_path, tiny_model)

    def full(*given: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as card:
        card.setattr(torch.optim.Optimizer, "load_state_dict", full)
        with pytest.raises(torch.OutOfMemoryError):
            told(job, run)
    assert isinstance(told(job, run)[-1], events.Finished)


def test_saving_the_state_takes_no_more_than_a_fiftieth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace, spent, saves = checkpoint.Pace(5.0), 0.0, 0
    for step in range(1, 10_001):  # of one second each, ten to an epoch; a save takes three
        now += 1.0
        if pace.is_due(ends_epoch=step % 10 == 0):
            with pace.saving():
                now += 3.0
                spent += 3.0
            saves += 1
    assert spent / now <= 0.02
    assert saves > 10_000 / 300


def test_the_state_is_saved_within_epochs_only_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    often, never = checkpoint.Pace(5.0), checkpoint.Pace(0.0)
    assert not often.is_due(ends_epoch=False)
    now = 301.0
    assert often.is_due(ends_epoch=False)
    assert not never.is_due(ends_epoch=False)
    assert never.is_due(ends_epoch=True)
