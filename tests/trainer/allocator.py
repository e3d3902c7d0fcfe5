"""A device with little memory: allocations over a limit fail as those of a card do, wherever in a training they are."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Allocator(TorchDispatchMode):
    """Counts the bytes of all tensors that are made while it is entered; where more than `limit` are alive, none is.

    `most` are the most bytes that were alive at once, `refused` the allocations that failed. What was there before it
    was entered, the base model above all, is not counted.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit = limit
        self.now = self.most = self.refused = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata not in self._known:
                # A view of a weight is nothing new.
                storages = {given.untyped_storage()._cdata for given in args if isinstance(given, Tensor)}
                if tensor.untyped_storage()._cdata not in storages:
                    self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        if self.now + storage.nbytes() > self.limit:
            self.refused += 1
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {storage.nbytes()} bytes.")
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, identity: int, size: int) -> None:
        self._known.discard(identity)
        self.now -= size
