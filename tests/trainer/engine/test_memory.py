"""Out of memory: the same step by a plan that needs less, which learns what the job would have learned with enough."""

import contextlib
import pathlib
from typing import Any

import pytest
import torch

from tests.trainer import tiny
from tests.trainer.allocator import Allocator
from tests.trainer.engine.test_loop import EXACT, equal, final
from trainer.engine.loop import train
from trainer.engine.memory import Plan, divided, safer
from trainer.engine.undo import undone_on_error
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder

DROPOUTS = {"rank": 2, "alpha": 1, "dropout": 0.1, "rank_dropout": 0.1, "module_dropout": 0.1}
ENOUGH = float("inf")


def carried_out(
    job: Job, limit: float = ENOUGH, run: RunFolder | None = None, stop_at: int = 0
) -> tuple[RunFolder, list[events.Event]]:
    """A run of `job` whose steps may use `limit` bytes; asked to stop during step `stop_at`."""
    run = run or folder.create(pathlib.Path(job.output.folder), job.output.name)
    memory, seen = Allocator(), []

    def tell(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Started):
            memory.limit = limit
        if isinstance(event, events.Step) and event.step == stop_at:
            folder.request(run, "stop")

    with memory:
        train(job, run, tell)
    return run, seen


def job_for(tmp_path: pathlib.Path, base: pathlib.Path, **changes: Any) -> Job:
    training = {"batch_size": 4, "epochs": 0, "steps": 3, **changes.pop("training", {})}
    return tiny.job(tmp_path, base, {"training": training, "output": EXACT, "adapter": DROPOUTS, **changes})


def replanned(seen: list[events.Event]) -> list[tuple[int, bool, str]]:
    told = [event for event in seen if isinstance(event, events.Replanned)]
    return [(event.micro_batch, event.checkpointing, event.optimizer) for event in told]


def losses(seen: list[events.Event]) -> list[float]:
    return [event.loss for event in seen if isinstance(event, events.Step)]


def difference(one: RunFolder, other: RunFolder) -> float:
    """The largest relative difference of any learned tensor."""
    pairs = [(tensor, final(other)[name]) for name, tensor in final(one).items()]
    return max(float((a - b).norm() / a.norm()) for a, b in pairs if a.norm())


HALVED, ONE, CHECKPOINTED = (2, False, "AdamW"), (1, False, "AdamW"), (1, True, "AdamW")
CHANCE: dict[str, dict[str, Any]] = {
    "dataset": {"shuffle_captions": True, "caption_dropout": 0.3, "flip": True, "masked_loss": "alpha"},
    "training": {"multires_noise_levels": 3, "noise_offset": 0.1, "noise_offset_random": True, "min_snr_gamma": 5},
}


@pytest.mark.parametrize(
    ("limit", "plans", "changes"),
    [
        (25e6, [HALVED], {}),
        (10e6, [HALVED, ONE], CHANCE),
        (6e6, [HALVED, ONE, CHECKPOINTED], CHANCE),
    ],
)
def test_the_same_is_learned_with_less_memory(
    tmp_path: pathlib.Path,
    tiny_model: pathlib.Path,
    thorough: bool,
    limit: float,
    plans: list[Any],
    changes: dict[str, Any],
) -> None:
    if limit > 6e6 and not thorough:
        pytest.skip("the one that goes down the whole ladder passes these rungs too")
    tiny.pictures(tmp_path / "data", 5)  # twice each: batches of 4, 4 and 2
    job = job_for(tmp_path, tiny_model, **changes)
    (whole, enough), (less, seen) = carried_out(job), carried_out(job, limit)
    assert replanned(enough) == []
    assert replanned(seen) == plans
    assert losses(seen) == pytest.approx(losses(enough), rel=2e-6)
    assert difference(whole, less) < 1e-3


def test_a_run_that_is_resumed_goes_on_by_the_plan_that_was_found(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model, training={"batch_size": 2})
    whole, _ = carried_out(job, 10e6)
    parts, _ = carried_out(job, 10e6, stop_at=2)
    _, seen = carried_out(job, 10e6, parts)
    assert replanned(seen) == []
    assert isinstance(seen[-1], events.Finished)
    assert equal(final(whole), final(parts))


def test_where_nothing_helps_what_was_learned_is_kept_and_all_that_was_tried_is_said(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model, training={"batch_size": 2})
    whole, _ = carried_out(job)
    run, memory = folder.create(tmp_path / "out", "tiny"), Allocator()

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Step) and event.step == 2:
            memory.limit = 1e6

    with memory, pytest.raises(Trouble) as caught:
        train(job, run, tell)
    assert caught.value.key == "out_of_memory_after_all"
    assert "one picture at once · gradient checkpointing · AdamW 8-bit" in caught.value.reason
    _, seen = carried_out(job, run=run)
    assert [event.step for event in seen if isinstance(event, events.Step)] == [3]
    assert difference(whole, run) < 1e-2


def test_a_picture_that_cannot_be_encoded_for_lack_of_memory_is_named(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job, memory = job_for(tmp_path, tiny_model), Allocator()

    def tell(event: events.Event) -> None:
        if isinstance(event, events.Stage) and event.total:
            memory.limit = memory.now

    with memory, pytest.raises(Trouble) as caught:
        train(job, folder.create(tmp_path / "out", "tiny"), tell)
    assert caught.value.key == "out_of_memory_caching"
    assert ".png at 64 × 64 px" in caught.value.reason


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Prodigy", "Adafactor"])
@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_step_that_fails_half_way_is_undone_in_every_bit(name: str, steps_before: int) -> None:
    torch.manual_seed(0)
    first = [torch.randn(4, 8) for _ in range(6)]

    def learned(rooms: list[float]) -> tuple[list[torch.Tensor], int]:
        parameters = [torch.nn.Parameter(tensor.clone()) for tensor in first]
        groups = [{"params": parameters[:3], "lr": 0.1}, {"params": parameters[3:], "lr": 0.1}]
        optimizer, refused = OPTIMIZERS[name]().build(groups), 0
        for room in rooms:
            for number, parameter in enumerate(parameters):
                parameter.grad = parameter.detach().cos() * (number + 1)
            memory = Allocator()
            with contextlib.suppress(torch.OutOfMemoryError), memory, undone_on_error(optimizer, parameters):
                memory.limit = memory.now + room
                optimizer.step()
            refused += memory.refused
        return [parameter.detach() for parameter in parameters], refused

    rooms = [ENOUGH] * steps_before + [200.0, 500.0, 900.0, ENOUGH]
    found, refused = learned(rooms)
    expected, _ = learned([ENOUGH] * (len(rooms) - refused))
    assert refused or steps_before
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("shapes", [[(4,)], [()], [(2, 3), ()]])
def test_few_tensors_are_put_back_as_well(shapes: list[tuple[int, ...]]) -> None:
    parameters = [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    with contextlib.suppress(MemoryError), undone_on_error(optimizer, parameters):
        optimizer.step()
        assert not any(parameter.any() for parameter in parameters)
        raise MemoryError
    assert all(torch.equal(parameter, torch.ones_like(parameter)) for parameter in parameters)


def test_samples_for_which_memory_does_not_suffice_are_left_out_and_the_training_goes_on(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    small, large = "a red thing --w 64 --h 64", "a red thing --w 256 --h 256"
    prompts = {"prompts": [small, large], "steps": 1, "width_px": 64, "height_px": 64, "baseline": False}
    job = job_for(tmp_path, tiny_model, samples=prompts, training={"batch_size": 1, "steps": 1, "text_encoder": False})
    _, seen = carried_out(job, 20e6)
    assert [event.prompt for event in seen if isinstance(event, events.Sample)] == [1]
    said = [event.text for event in seen if isinstance(event, events.Warned)]
    assert ["256 × 256 px" in text and text.startswith("Sample 2 of step 1") for text in said] == [True]
    assert isinstance(seen[-1], events.Finished)


def test_the_plans_go_down_a_ladder() -> None:
    plan: Plan | None = Plan(5, False, "AdamW")
    ladder = []
    while plan:
        ladder.append((plan.micro_batch, plan.checkpointing, plan.optimizer, divided(5, plan.micro_batch)))
        plan = safer(plan, 5, "AdamW8bit" if plan.optimizer == "AdamW" else "")
    assert ladder == [
        (5, False, "AdamW", "5"),
        (3, False, "AdamW", "3 + 2"),
        (2, False, "AdamW", "2 × 2 + 1"),
        (1, False, "AdamW", "5 × 1"),
        (1, True, "AdamW", "5 × 1"),
        (1, True, "AdamW8bit", "5 × 1"),
    ]
    # The last batch of a bucket is often a small one.
    assert safer(Plan(8, False, "AdamW"), 3, "") == Plan(2, False, "AdamW")
