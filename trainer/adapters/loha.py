"""LoHa: the element-wise product of two low-rank products (FedPara, Hyeon-Woo et al., arXiv:2108.06098).

Stored as LyCORIS does (arXiv:2309.14859), which is what ComfyUI, Forge and A1111 read. PEFT's own LoHa stores its
factors the other way around, and convolutions in a form that those programs do not know.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.adapters.base import Injected, Target
from trainer.adapters.changed import Recipe, inject_changes
from trainer.job.settings import Adapter


def inject(targets: Sequence[Target], settings: Adapter, seed: int) -> Injected:
    """Adapts every layer that the settings and the targets name; see AdapterKind."""
    return inject_changes(targets, settings, seed, Recipe(_first, _product))


def _first(shape: Sequence[int], rank: int) -> dict[str, Tensor]:
    """w1_a, w2_a [out, rank] and w1_b, w2_b [rank, in·k·k]; the deviations are those of LyCORIS."""
    rows, columns = shape[0], torch.Size(shape[1:]).numel()
    return {
        "hada_w1_a": torch.randn(rows, rank) * 0.1,
        "hada_w1_b": torch.randn(rank, columns),
        "hada_w2_a": torch.zeros(rows, rank),
        "hada_w2_b": torch.randn(rank, columns),
    }


def _product(tensors: Mapping[str, Tensor]) -> Tensor:
    return _Hadamard.apply(*(tensors[f"hada_w{part}"] for part in ("1_a", "1_b", "2_a", "2_b")))


class _Hadamard(torch.autograd.Function):
    """(w1_a @ w1_b) ∘ (w2_a @ w2_b), that remembers the factors instead of both products, which are as large as W."""

    @staticmethod
    def forward(ctx: Any, *factors: Tensor) -> Tensor:
        """The product, [out, in·k·k]."""
        ctx.save_for_backward(*factors)
        return (factors[0] @ factors[1]) * (factors[2] @ factors[3])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """The gradients of the four factors."""
        w1_a, w1_b, w2_a, w2_b = ctx.saved_tensors
        first = gradients[0] * (w2_a @ w2_b)
        second = gradients[0] * (w1_a @ w1_b)
        return first @ w1_b.T, w1_a.T @ first, second @ w2_b.T, w2_a.T @ second
