"""How LoKr divides a weight, and when a matrix is kept whole."""

import pytest
from torch import nn

from trainer.adapters.lokr import divided, inject
from trainer.families.base import Component
from trainer.job.settings import Adapter


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [
        (127, -1, (1, 127)),
        (128, -1, (8, 16)),
        (250, -1, (10, 25)),
        (360, -1, (18, 20)),
        (1024, -1, (32, 32)),
        (128, 4, (4, 32)),
        (250, 4, (2, 125)),
        (250, 8, (5, 50)),
        (360, 16, (15, 24)),
        (512, 16, (16, 32)),
        (320, 64, (5, 64)),
        (1, 8, (1, 1)),
    ],
)
def test_sizes_are_divided_as_even_as_the_factor_lets_them(size: int, factor: int, expected: tuple[int, int]) -> None:
    assert divided(size, factor) == expected


def shapes(**settings: int | bool) -> dict[str, tuple[int, ...]]:
    net = nn.Sequential(nn.Sequential(nn.Conv2d(320, 640, 3))).requires_grad_(False)
    part = Component("net", net, frozenset(), frozenset({"Sequential"}), 1e-4)
    layers = inject([part], Adapter(type="lokr", **settings), 1).layers
    return {kind: tuple(tensor.shape) for kind, tensor in layers["net.0.0"].tensors.items()}


def test_the_larger_matrix_is_whole_when_asked_for_or_when_the_rank_would_save_nothing() -> None:
    assert shapes(conv_rank=4) == {"lokr_w1": (20, 16), "lokr_w2_a": (32, 4), "lokr_w2_b": (4, 180)}
    assert shapes(conv_rank=16) == {"lokr_w1": (20, 16), "lokr_w2": (32, 20, 3, 3)}
    assert shapes(conv_rank=16, factor=8) == {"lokr_w1": (8, 8), "lokr_w2_a": (80, 16), "lokr_w2_b": (16, 360)}
    assert shapes(conv_rank=4, full_matrix=True, factor=8) == {"lokr_w1": (8, 8), "lokr_w2": (80, 40, 3, 3)}
