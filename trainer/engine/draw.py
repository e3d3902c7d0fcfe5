"""All randomness of one step."""

from collections.abc import Sequence

import torch
from torch import Tensor

_STREAM = 0x9E3779B97F4A7C15  # an odd constant spreads neighbouring seeds and steps over the generator's 64 bits
_MASK = 2**63 - 1


class Draw:
    """Random numbers of step `step`, the same on every device because they are drawn on the CPU.

    `part` tells apart the batches of one step (accumulation, several devices).
    """

    def __init__(self, seed: int, step: int, part: int, device: torch.device) -> None:
        self._device = device
        self._generator = torch.Generator("cpu").manual_seed(mixed(seed, step, part))

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers, float32."""
        return torch.randn(tuple(shape), generator=self._generator).to(self._device)

    def integers(self, high: int, count: int) -> Tensor:
        """`count` whole numbers from 0 to `high` - 1."""
        return torch.randint(high, (count,), generator=self._generator).to(self._device)

    def share(self) -> float:
        """One number from 0 to 1, evenly spread."""
        return torch.rand((), generator=self._generator).item()


def mixed(*numbers: int) -> int:
    """One 63-bit seed from several numbers."""
    seed = 0
    for number in numbers:
        seed = ((seed ^ number) * _STREAM + 1) & _MASK
    return seed
