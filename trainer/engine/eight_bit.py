"""An optimizer exchanged, in the middle of a training, for the one that keeps its state in 8 bits."""

import gc
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.engine.checkpoint import Learner
from trainer.engine.device import Device
from trainer.engine.memory import attempted
from trainer.engine.optimizing import hindrance
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Training

_BLOCK = 256  # the elements that share a scale in the optimizers of bitsandbytes
# What they call state1 and state2 is called so in torch.
_MOMENTS = (("exp_avg", "state1"), ("exp_avg_sq", "state2"))


def sister(optimizer: str, place: Device) -> str:
    """The optimizer that keeps the same state in 8 bits, where it works on this device; else "".

    Where several processes train, each would have to change to it in the same step, though only one lacks memory.
    """
    name = OPTIMIZERS[optimizer].eight_bit
    if not name or place.processes > 1:
        return ""
    why_not, lack = attempted(lambda: hindrance(OPTIMIZERS[name], place.torch))
    return "" if why_not or lack else name


def exchange(learner: Learner, name: str, training: Training, place: Device) -> None:
    """Gives `learner` the optimizer `name`, with the state of its own one rounded to 8 bits.

    The old state waits in the main memory; from there it can still be saved where memory does not suffice even for the
    new one, which raises what torch does.
    """
    old = learner.optimizer
    for parameter, own in old.state.items():
        old.state[parameter] = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in own.items()}
    groups = [{key: group[key] for key in ("params", "lr", "base_lr")} for group in old.param_groups]
    place.accelerator.free_memory()
    gc.collect()
    optimizer = OPTIMIZERS[name](**training.optimizer_args).build(groups)
    prepared = place.accelerator.prepare_optimizer(optimizer)
    for number, group in enumerate(optimizer.param_groups):
        for place_of, parameter in enumerate(group["params"]):
            if parameter in old.state:
                optimizer.init_state(group, parameter, number, place_of)
                _carry_over(old.state[parameter], optimizer.state[parameter])
    learner.optimizer = prepared


@torch.no_grad()
def _carry_over(old: dict[str, Any], new: dict[str, Any]) -> None:
    new["step"] = int(old["step"])
    for torch_name, name in _MOMENTS:
        moment = old.get(torch_name, old.get(name))
        if moment is None:
            continue
        if new[name].dtype != torch.uint8:  # a small tensor, which stays as it is
            new[name].copy_(moment)
            continue
        codes, largest = rounded(moment, new[f"qmap{name[-1]}"].cpu())
        new[name].copy_(codes.reshape(new[name].shape))
        new[f"absmax{name[-1]}"].copy_(largest)


def rounded(values: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """The number in `codebook` [256], which rises, that each of `values` is nearest to; and what it is multiplied by.

    The values are taken in blocks, each relative to its largest (Dettmers et al., arXiv:2110.02861, section 2.1).
    """
    count = values.numel()
    blocks = functional.pad(values.flatten(), (0, -count % _BLOCK)).view(-1, _BLOCK)
    largest = blocks.abs().amax(dim=1)
    shares = blocks / largest.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    between = (codebook[1:] + codebook[:-1]) / 2
    return torch.bucketize(shares, between).to(torch.uint8).flatten()[:count], largest
