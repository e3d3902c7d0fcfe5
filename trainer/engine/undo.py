"""An optimizer step that is taken as a whole or not at all."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


@contextlib.contextmanager
@torch.no_grad()
def undone_on_error(optimizer: Any, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Puts back parameters and the optimizer's state, bit by bit, when what is done in it fails.

    Memory may run out in the middle of a step, when some parameters have moved. The copies are made where all that the
    forward pass needed is free again, so they do not add to the most that a step needs.
    """
    state = {parameter: dict(own) for parameter, own in optimizer.state.items()}
    groups = [{name: _copy(value) for name, value in _own(group).items()} for group in optimizer.param_groups]
    tensors = [*parameters, *(value for own in state.values() for value in own.values() if isinstance(value, Tensor))]
    copies = _copies(tensors)
    try:
        yield
    except BaseException:
        for kind, row in copies:
            parts = row.split([tensor.numel() for tensor in kind])
            for tensor, copy in zip(kind, parts, strict=True):
                tensor.detach().copy_(copy.view(tensor.shape))
        optimizer.state.clear()
        optimizer.state.update(state)
        for group, values in zip(optimizer.param_groups, groups, strict=True):
            group.update(values)
        raise


def _own(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _copies(tensors: Sequence[Tensor]) -> list[tuple[list[Tensor], Tensor]]:
    """Tensors of one kind each, with all that they hold in one row: there are thousands of small ones."""
    alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        alike.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    return [(kind, torch.cat([tensor.reshape(-1) for tensor in kind])) for kind in alike.values()]
