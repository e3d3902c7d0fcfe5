"""One alpha where a reader would overlook several, and the same changes."""

import pytest
import torch
from torch import Tensor

from tests.trainer.formats import made
from trainer.formats.alphas import evened
from trainer.formats.layers import LoraLayer

NAMES = [made.TO_K.replace("to_k", name) for name in ("to_q", "to_k", "to_v")]


def attention(alphas: list[float | None], rank: int = 2) -> dict[str, LoraLayer]:
    torch.manual_seed(0)
    return {
        name: made.lora(name, 4, (4,), rank + at, alpha)
        for at, (name, alpha) in enumerate(zip(NAMES, alphas, strict=True))
    }


def as_read(layers: dict[str, LoraLayer]) -> dict[str, LoraLayer]:
    return {name: made.layer(name, layer.tensors, layer.alpha) for name, layer in evened(layers).items()}


@pytest.mark.parametrize("alphas", [[1.0, 1.0, 4.0], [None, None, 4.0], [0.3, 1.0, 1.0], [1.0, 2.0, None]])
def test_several_alphas_become_one_that_means_the_same(alphas: list[float | None]) -> None:
    layers = attention(alphas) | {made.FC1: made.lora(made.FC1, 8, (4,), 2, 7.0)}
    found = as_read(layers)
    assert len({found[name].alpha for name in NAMES}) == 1
    assert found[made.FC1].alpha == 7.0
    assert made.largest_error(found, layers) < 1e-6


@pytest.mark.parametrize("alphas", [[2.0, 2.0, 2.0], [None, None, None]])
def test_layers_of_one_alpha_stay_bit_by_bit_and_convolutions_may_have_their_own(alphas: list[float | None]) -> None:
    layers = attention(alphas) | {made.CONV: made.lora(made.CONV, 4, (4, 3, 3), 2, 5.0)}
    assert all(found is layers[name] for name, found in evened(layers).items())


def test_what_learns_is_not_touched() -> None:
    layers = attention([1.0, 1.0, 4.0])
    before = {name: layer.tensors["lora_up"].clone() for name, layer in layers.items()}
    evened(layers)
    assert all(torch.equal(layer.tensors["lora_up"], before[name]) for name, layer in layers.items())


def test_kinds_that_are_not_read_there_keep_their_alphas() -> None:
    tensors: dict[str, Tensor] = {f"hada_w{n}_{side}": made.random(4, 4) for n in (1, 2) for side in "ab"}
    layers = {name: made.layer(name, tensors, 1.0 + at) for at, name in enumerate(NAMES)}
    assert [layer.alpha for layer in evened(layers).values()] == [1.0, 2.0, 3.0]
