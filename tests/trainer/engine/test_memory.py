"""Out of memory: the same step by a plan that needs less, which learns what the job would have learned with enough."""

import pathlib
from typing import Any

import bitsandbytes.functional
import pytest
import torch

from tests.trainer import tiny
from tests.trainer.allocator import Allocator
from tests.trainer.engine.test_loop import EXACT, final
from trainer.engine.eight_bit import rounded
from trainer.engine.loop import train
from trainer.job.settings import Job
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
        (6e6, [HALVED, ONE, CHECKPOINTED], {}),
    ],
)
def test_the_same_is_learned_with_less_memory(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, limit: float, plans: list[Any], changes: dict[str, Any]
) -> None:
    tiny.pictures(tmp_path / "data", 5)  # twice each: batches of 4, 4 and 2
    job = job_for(tmp_path, tiny_model, **changes)
    (whole, enough), (less, seen) = carried_out(job), carried_out(job, limit)
    assert replanned(enough) == []
    assert replanned(seen) == plans
    assert losses(seen) == pytest.approx(losses(enough), rel=2e-6)
    assert difference(whole, less) < 1e-3


def test_state_in_8_bits_is_that_of_the_optimizer_within_rounding() -> None:
    """Against what bitsandbytes itself makes of it."""
    values = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 0, 5)[:, None]
    codebook = bitsandbytes.functional.create_dynamic_map()
    codes, largest = rounded(values, codebook)
    theirs, state = bitsandbytes.functional.quantize_blockwise(values, code=codebook, blocksize=256)
    assert torch.equal(largest, state.absmax)
    # Half way between two codes either is as near.
    assert (codes != theirs.flatten()).float().mean() < 0.01
    assert (codes.int() - theirs.flatten().int()).abs().max() <= 1
