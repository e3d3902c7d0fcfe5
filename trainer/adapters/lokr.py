"""LoKr: the Kronecker product of a small matrix and a larger one of low rank (KronA, Edalati et al., arXiv:2212.10650).

Stored as LyCORIS does (arXiv:2309.14859), which is what ComfyUI, Forge and A1111 read; without a Tucker core, which
ComfyUI cannot read. Where both matrices are whole there is no rank to divide by, and alpha means nothing.
"""

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer.adapters.base import Injected, Target
from trainer.adapters.changed import Recipe, inject_changes
from trainer.job.settings import Adapter


def inject(targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
    """Adapts every layer that the settings and the targets name; see AdapterKind."""
    first = functools.partial(_first, factor=settings.factor, full_matrix=settings.full_matrix)
    return inject_changes(targets, settings, seed, Recipe(first, _product, whole="lokr_w2"))


def divided(size: int, factor: int) -> tuple[int, int]:
    """Two numbers, the smaller first, whose product is `size`.

    `factor` is one of them where it divides `size`, else the most that the smaller may be; -1: as even as possible.
    """
    if factor > 0 and size % factor == 0:
        return min(factor, size // factor), max(factor, size // factor)
    most = math.isqrt(size) if factor < 0 else min(factor, math.isqrt(size))
    smaller = next(number for number in range(max(most, 1), 0, -1) if size % number == 0)
    return smaller, size // smaller


def _first(shape: Sequence[int], rank: int, factor: int, full_matrix: bool) -> dict[str, Tensor]:
    """w1 [a, c] and w2 [b, d, …], or w2_a [b, rank] and w2_b [rank, d·k·k], for a weight [a·b, c·d, …]."""
    (a, b), (c, d) = divided(shape[0], factor), divided(shape[1], factor)
    found = {"lokr_w1": _random(a, c)}
    if full_matrix or rank >= max(b, d) / 2:
        # The product of two matrices of this rank would hold more numbers and say no more.
        return {**found, "lokr_w2": torch.zeros(b, d, *shape[2:])}
    area = torch.Size(shape[2:]).numel()
    return {**found, "lokr_w2_a": _random(b, rank), "lokr_w2_b": torch.zeros(rank, d * area)}


def _random(rows: int, columns: int) -> Tensor:
    return torch.nn.init.kaiming_uniform_(torch.empty(rows, columns), a=math.sqrt(5))


def _product(tensors: Mapping[str, Tensor]) -> Tensor:
    first = tensors["lokr_w1"]
    whole = "lokr_w2" in tensors
    second = tensors["lokr_w2"] if whole else tensors["lokr_w2_a"] @ tensors["lokr_w2_b"]
    # The kernel counts as part of the second matrix's columns: w1 takes no part in it.
    return torch.kron(first, second.flatten(1))
