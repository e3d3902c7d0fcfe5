"""One resumable piece of training: AdamW with warm-up and decay, a moving average, a state that survives a kill.

All randomness of a step comes from generators seeded by (seed, step), so a stopped and resumed course ends with the
same weights as one that was never stopped.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from tqdm import tqdm

SAVE_EVERY_S = 120.0


@dataclass(frozen=True)
class Crew:
    """Which of several processes this is: each takes its share of every batch, and all keep equal weights.

    On a busy machine this is many times faster than one process with several threads, which wait for each other in
    every layer instead of once a step.
    """

    rank: int = 0
    size: int = 1


ALONE = Crew()


@dataclass(frozen=True)
class Course:
    """What is trained (`module`), on which batches (step → batch), by which loss (batch, generator → scalar)."""

    name: str
    module: nn.Module
    batch: Callable[[int], Any]
    loss: Callable[[Any, torch.Generator], Tensor]
    steps: int
    learning_rate: float
    seed: int = 0
    warm_up_steps: int = 200
    half_on_cpu: bool = False


@dataclass(frozen=True)
class Bench:
    """Where a course runs: its device, its state's folder, and what to do now and then with averaged weights."""

    device: torch.device
    work: Path
    look_in: Callable[[], None] | None = None
    look_in_every_s: float = 600.0
    stop_after: int | None = None
    crew: Crew = ALONE


def learning_rate_at(course: Course, step: int) -> float:
    """Returns the learning rate of a step: linear up over the warm-up, then linear down to nothing."""
    up = min(1.0, (step + 1) / max(1, min(course.warm_up_steps, course.steps // 5)))
    return course.learning_rate * up * max(0.02, 1 - step / course.steps)


def train(course: Course, bench: Bench) -> bool:
    """Trains to the end and leaves the averaged weights in the module; False where `stop_after` cut it short."""
    module = course.module.to(bench.device).train()
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=course.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = [weight.detach().clone() for weight in weights]
    state_file = bench.work / f"{course.name}.pt"
    first = _resume(state_file, optimizer, weights, average)
    leads = bench.crew.rank == 0
    saved_at = looked_at = time.monotonic()
    progress = tqdm(
        total=course.steps, initial=first, desc=course.name, mininterval=5, smoothing=0.02, disable=not leads
    )
    for step in range(first, course.steps):
        loss = _one_step(course, (optimizer, weights, bench), step)
        _follow(average, weights, step)
        progress.update()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if leads and time.monotonic() - saved_at > SAVE_EVERY_S:
            _save(state_file, optimizer, (weights, average), step + 1)
            saved_at = time.monotonic()
        if bench.stop_after is not None and step + 1 >= bench.stop_after:
            _save(state_file, optimizer, (weights, average), step + 1, leads)
            return False
        if leads and bench.look_in and time.monotonic() - looked_at > bench.look_in_every_s:
            with_average(weights, average, bench.look_in)
            looked_at = time.monotonic()
    progress.close()
    _save(state_file, optimizer, (weights, average), course.steps, leads)
    torch._foreach_copy_([weight.data for weight in weights], average)
    return True


def _one_step(course: Course, setting: tuple, step: int) -> Tensor:
    """Takes one optimizer step; returns its loss."""
    optimizer, weights, bench = setting
    for group in optimizer.param_groups:
        group["lr"] = learning_rate_at(course, step)
    crew = bench.crew
    generator = torch.Generator().manual_seed((course.seed * 10_000_019 + step) * crew.size + crew.rank)
    half = bench.device.type == "cuda" or course.half_on_cpu
    with torch.autocast(bench.device.type, torch.bfloat16, enabled=half):
        loss = course.loss(course.batch(step), generator)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    _share_gradients(weights, crew)
    nn.utils.clip_grad_norm_(weights, 1.0)
    optimizer.step()
    return loss.detach()


def _share_gradients(weights: list[nn.Parameter], crew: Crew) -> None:
    """Gives every process of the crew the mean of all their gradients."""
    if crew.size == 1:
        return
    gradients = [weight.grad for weight in weights]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    parts = (flat / crew.size).split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view(gradient.shape))


def _follow(average: list[Tensor], weights: list[nn.Parameter], step: int) -> None:
    """Moves the average towards the weights; a young average follows quickly."""
    decay = min(0.999, (1 + step) / (10 + step))
    torch._foreach_lerp_(average, [weight.detach() for weight in weights], 1 - decay)


def with_average(weights: list[nn.Parameter], average: list[Tensor], act: Callable[[], None]) -> None:
    """Acts while the module holds the averaged weights, then puts the trained ones back."""
    trained = [weight.detach().clone() for weight in weights]
    torch._foreach_copy_([weight.data for weight in weights], average)
    act()
    torch._foreach_copy_([weight.data for weight in weights], trained)


def _save(file: Path, optimizer: torch.optim.Optimizer, weights: tuple, step: int, leads: bool = True) -> None:
    """Writes the state beside its file and renames it, so that a kill leaves the old or the new one, whole."""
    if not leads:
        return
    trained, average = weights
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "weights": [weight.data for weight in trained],
        "average": average,
    }
    beside = file.with_suffix(".part")
    torch.save(state, beside)
    os.replace(beside, file)


def _resume(file: Path, optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], average: list[Tensor]) -> int:
    """Puts a saved state back; returns the step to go on from."""
    if not file.exists():
        return 0
    state = torch.load(file, map_location=weights[0].device, weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    torch._foreach_copy_([weight.data for weight in weights], state["weights"])
    torch._foreach_copy_(average, state["average"])
    return int(state["step"])
