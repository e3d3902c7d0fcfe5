"""Numbers by block of the UNet: three for its down, mid and up part, or one for each block as Kohya's scripts count.

Theirs are the published UNet's input, middle and output blocks: 12 + 1 + 12 of Stable Diffusion 1.x and 2.x, and of XL
1 (the embeddings) + 9 + 3 + 9 + 1 (the last layers).
"""

from collections.abc import Sequence
from typing import NamedTuple

from trainer.job.facts import FAMILIES
from trainer.job.knobs import fault

SIDES = 3


class Block(NamedTuple):
    """One block by Kohya's number, and the part of the UNet that it is in: 0 down, 1 mid, 2 up."""

    number: int
    side: int


def outside(path: str) -> Block | None:
    """The block of a layer of anything but a UNet."""
    return None


def of_block(values: Sequence[float], block: Block | None) -> float | None:
    """The number for `block`; None where none are given, and for what is in no block of a UNet."""
    if not values or block is None:
        return None
    return values[block.side if len(values) == SIDES else block.number]


def spread(values: Sequence[float], count: int) -> tuple[float, ...]:
    """The number of each of `count` blocks; none where none are given."""
    if len(values) != SIDES:
        return tuple(values)
    # Of 23, the embeddings are counted with the down part and the last layers with the up part.
    middle = 1 if count == 25 else 3
    side = (count - middle) // 2
    return (*[values[0]] * side, *[values[1]] * middle, *[values[2]] * side)


def check_length(field: str, title: str, values: Sequence[float], family: str) -> None:
    """Raises the error to be shown at `field` when there are neither 0, 3 nor as many numbers as the family has."""
    count = FAMILIES[family].blocks
    if len(values) not in (0, SIDES, count):
        label = FAMILIES[family].label
        raise fault(field, "block_count", title=title, count=count, given=len(values), family=label)
