"""The optimizer of a training, or the one that takes its place where it cannot work."""

from collections.abc import Callable
from typing import Any

import torch

from trainer.job.optimizers import OPTIMIZERS, Optimizer
from trainer.job.settings import Training
from trainer.job.trouble import first_line, is_out_of_memory
from trainer.job.words import say

# Below 4096 numbers those of 8 bits calculate in 32.
_PROBE = 8192


def build(
    training: Training, groups: list[dict[str, Any]], device: torch.device, warn: Callable[[str], None]
) -> tuple[Any, bool]:
    """The torch optimizer over `groups`, and whether it averages its steps.

    One whose library is missing or broken, or that does not know the device, is replaced, which is said.
    """
    kind, why = OPTIMIZERS[training.optimizer], ""
    while kind.stand_in is not None:
        found = hindrance(kind, device)
        if not found:
            break
        kind, why = kind.stand_in, why or found
    if why:
        wanted = OPTIMIZERS[training.optimizer].label
        warn(say("optimizer_stand_in", optimizer=wanted, reason=why, instead=kind.label))
    return kind(**training.optimizer_args).build(groups), kind.averages


def hindrance(kind: type[Optimizer], device: torch.device) -> str:
    """Why an optimizer cannot work on `device`, "" where it can: some find out only at their first step.

    Raises what torch does when memory does not suffice.
    """
    if device.type not in kind.devices:
        return say("optimizer_other_device", device=device.type)
    try:
        parameter = torch.nn.Parameter(torch.zeros(_PROBE, device=device))
        optimizer = kind().build([{"params": [parameter], "lr": 0.0}])
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return first_line(error)
    return ""
