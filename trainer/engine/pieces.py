"""A batch divided into pieces that together learn what the whole batch would have, with less memory at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Variable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

WHOLE = slice(None)
"""All rows of a batch."""


def pieces(count: int, most: int) -> list[slice]:
    """The rows of a batch of `count` pictures, at most `most` at once."""
    return [WHOLE] if count <= most else [slice(at, min(at + most, count)) for at in range(0, count, most)]


class SameChance(TorchFunctionMode):
    """Gives the rows of a divided batch the dropout that they would have had in the whole one of `count` pictures.

    All chance that has a row for each picture is drawn for the whole batch, from which the piece's rows are taken; so
    each piece has to begin with the same seed. A number of `rand` with one axis is no picture's own. Recomputed layers
    (gradient checkpointing) see the same when the backward pass is taken in it too.
    """

    def __init__(self, rows: slice, count: int) -> None:
        super().__init__()
        self._start, self._stop = rows.start, rows.stop
        self._count = count

    def __torch_function__(
        self, function: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What `function` gives."""
        kwargs = kwargs or {}
        if function is functional.dropout:
            return self._dropout(*args, **kwargs)
        if function is torch.rand and len(args) > 1:
            size, own = self._rows(args[0])
            return function(size, *args[1:], **kwargs)[own]
        if function is Tensor.backward:
            return self._backward(args[0])
        return function(*args, **kwargs)

    def _dropout(self, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p:
            return functional.dropout(x, p, training, inplace)
        size, own = self._rows(x.shape[0])
        kept = functional.dropout(x.new_ones(size, *x.shape[1:]), p)[own]
        # A copy, because what the backward pass needs of it would keep the rows of the whole batch.
        return x * kept.clone()

    def _backward(self, loss: Tensor) -> None:
        # While a function of torch runs the mode is left, so layers computed again in this one would not see it; and
        # torch.autograd.backward is such a function too.
        with self:
            Variable._execution_engine.run_backward(
                (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
            )

    def _rows(self, own: int) -> tuple[int, slice]:
        """The rows of the whole batch and which of them are these `own` ones: a picture may have several."""
        each = own // (self._stop - self._start)
        return self._count * each, slice(self._start * each, self._stop * each)


def shares(rows: Sequence[slice], count: int) -> Iterator[tuple[slice, float]]:
    """The pieces of a batch of `count` pictures with what each counts in the mean over the batch."""
    for piece in rows:
        yield piece, 1.0 if piece is WHOLE else (piece.stop - piece.start) / count
