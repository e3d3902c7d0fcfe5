"""What is done when memory does not suffice: the same step again, by a plan that needs less of it.

The plans go down a ladder: half as many pictures at once until it is one, then gradient checkpointing, then the
optimizer's state in 8 bits. Each learns from the same batch as the one before.
"""

import dataclasses
import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from trainer.job.settings import Training
from trainer.job.trouble import first_line, is_out_of_memory

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a step is computed: `micro_batch` pictures at once, with gradient checkpointing, by this optimizer."""

    micro_batch: int
    checkpointing: bool
    optimizer: str


def asked_for(training: Training) -> Plan:
    """The plan that a job begins with."""
    return Plan(training.batch_size, training.gradient_checkpointing, training.optimizer)


def attempted(action: Callable[[], Result]) -> tuple[Result | None, str]:
    """What `action` gives and "", or None and the reason when memory did not suffice, all of it free again."""
    try:
        return action(), ""
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = first_line(error)
    # Not before here: the error holds every frame that it went through, and so their tensors.
    free()
    return None, reason


def free() -> None:
    """Gives back memory that nothing uses."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def safer(plan: Plan, most: int, eight_bit: str) -> Plan | None:
    """The next plan when the passes over batches of up to `most` pictures need too much; None after the last."""
    at_once = min(plan.micro_batch, most)
    if at_once > 1:
        return dataclasses.replace(plan, micro_batch=(at_once + 1) // 2)
    if not plan.checkpointing:
        return dataclasses.replace(plan, checkpointing=True)
    return smaller_state(plan, eight_bit)


def smaller_state(plan: Plan, eight_bit: str) -> Plan | None:
    """The next plan when it is the optimizer that needs too much: nothing else is in memory by then.

    `eight_bit` is the optimizer that keeps the same state in 8 bits, "" where there is none.
    """
    return dataclasses.replace(plan, optimizer=eight_bit) if eight_bit else None


def divided(batch: int, most: int) -> str:
    """A batch in pieces as a person writes it: 2 × 2, or 3 + 2."""
    whole, rest = divmod(batch, most)
    first = f"{whole} × {most}" if whole > 1 else str(most)
    return f"{first} + {rest}" if rest else first
