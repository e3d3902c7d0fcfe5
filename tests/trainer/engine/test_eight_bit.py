"""Out of memory in the optimizer's own step: no step is left out, and its state goes on in 8 bits."""

import contextlib
import pathlib
import statistics

import bitsandbytes.functional
import pytest
import torch

from tests.trainer import tiny
from tests.trainer.allocator import Allocator
from tests.trainer.engine.test_memory import losses, replanned
from trainer.engine.checkpoint import Learner
from trainer.engine.device import pick
from trainer.engine.eight_bit import exchange, rounded
from trainer.engine.loop import train
from trainer.engine.memory import Plan
from trainer.job import presets
from trainer.job.fields import parse, with_sets
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job, Training
from trainer.run import events, folder
from trainer.run.folder import RunFolder

LACKING = 280e6
"""Bytes: a step of this job takes 320 million with AdamW, 250 at most in 8 bits, and its passes take 200."""
EIGHT_BIT = [(2, False, "AdamW8bit")]


def starter(place: pathlib.Path, steps: int, whole: bool) -> Job:
    """The starter's training, on its own or fewer pictures, with so large an adapter that the optimizer needs most."""
    small = ["training.batch_size=2", "dataset.resolution=64", "samples.prompts=[]", "output.save_every_epochs=0"]
    large = ["adapter.rank=128", "adapter.conv_rank=128", "training.epochs=0", f"training.steps={steps}"]
    fewer = [] if whole else [f"dataset.folder={tiny.pictures(place / 'data', 2)}", "training.text_encoder=false"]
    return parse(
        with_sets(
            presets.read(presets.PRESETS / "sd15" / "starter.json").data,
            [*small, *large, *fewer, f"output.folder={place / 'out'}"],
        )
    )


def carried_out(
    job: Job, run: RunFolder | None = None, limits: dict[int, float] | None = None, stop_at: int = 0
) -> tuple[RunFolder, list[events.Event], Allocator]:
    """A run of `job` on a device that has from step n on (0: from the first) the memory `limits[n]` in bytes."""
    run = run or folder.create(pathlib.Path(job.output.folder), job.output.name)
    memory, seen = Allocator(), list[events.Event]()

    def tell(event: events.Event) -> None:
        seen.append(event)
        step = event.step if isinstance(event, events.Step) else 0 if isinstance(event, events.Started) else None
        memory.limit = (limits or {}).get(step, memory.limit) if step is not None else memory.limit
        if step and step == stop_at:
            folder.request(run, "stop")

    with memory if limits else contextlib.nullcontext():
        train(job, run, tell)
    return run, seen, memory


def test_an_optimizer_that_runs_out_of_memory_goes_on_in_8_bits(tmp_path: pathlib.Path, thorough: bool) -> None:
    wanted = 150 if thorough else 4
    job = starter(tmp_path, wanted, thorough)
    (_, whole, _), (run, seen, memory) = carried_out(job), carried_out(job, limits={2: LACKING})
    assert memory.refused
    assert replanned(whole) == []
    assert replanned(seen) == EIGHT_BIT
    assert [event.step for event in seen if isinstance(event, events.Replanned)] == [3]
    assert [event.step for event in seen if isinstance(event, events.Step)] == list(range(1, wanted + 1))
    assert isinstance(seen[-1], events.Finished)
    assert (run.weights / "mecha-robot.safetensors").is_file()

    usual, found = losses(whole), losses(seen)
    apart = [abs(one - other) / one for one, other in zip(usual, found, strict=True)]
    last = statistics.mean(usual[-30:]), statistics.mean(found[-30:])
    later = f"{statistics.median(apart[3:]):.1e} later in the median, {max(apart[3:]):.1e} at most"
    print(
        f"\nAdamW was refused memory {memory.refused} times at step 3 of {wanted}; losses apart by "
        f"{max(apart[:3]):.1e} until then, {later}; means of the last 30: {last[0]:.4f} and {last[1]:.4f}"
    )
    assert usual[:3] == found[:3]
    assert statistics.median(apart[3:]) < 0.03
    assert last[0] == pytest.approx(last[1], rel=0.05)


def test_a_first_step_and_one_that_is_resumed_are_taken_in_8_bits(tmp_path: pathlib.Path, thorough: bool) -> None:
    if not thorough:
        pytest.skip("takes most of a minute")
    job = starter(tmp_path, 4, whole=False)
    _, whole, _ = carried_out(job, limits={0: 225e6})
    assert replanned(whole) == EIGHT_BIT
    run, seen, _ = carried_out(job, limits={0: 225e6}, stop_at=2)
    _, again, _ = carried_out(job, run, {0: LACKING})
    assert replanned(again) == []
    assert [*losses(seen), *losses(again)] == losses(whole)


def test_an_exchange_for_which_memory_does_not_suffice_leaves_a_state_that_can_be_saved() -> None:
    parameter = torch.nn.Parameter(torch.ones(2**16))
    optimizer = OPTIMIZERS["AdamW"]().build([{"params": [parameter], "lr": 0.1, "base_lr": 0.1}])
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    learner = Learner(None, optimizer, None, Plan(1, True, "AdamW"))  # type: ignore[arg-type]
    before = optimizer.state_dict()["state"][0]["exp_avg"].clone()
    with Allocator(limit=2**16) as memory, pytest.raises(torch.OutOfMemoryError):
        exchange(learner, "AdamW8bit", Training(), pick(Training()))
    assert memory.refused
    assert learner.optimizer is optimizer
    assert torch.equal(learner.optimizer.state_dict()["state"][0]["exp_avg"], before)


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
