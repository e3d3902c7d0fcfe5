"""Smaller ranks: the best that a decomposition of the whole change can do, without decomposing it."""

import pytest
import torch

from tests.trainer.formats import made
from trainer.formats.factors import Factors, as_layers, factors, joined, norm, spectrum, spectrum_of_whole
from trainer.formats.layers import LoraLayer


def product(layer: LoraLayer) -> Factors:
    found = factors(layer)
    assert found
    return found


@pytest.fixture
def layers() -> list[LoraLayer]:
    torch.manual_seed(1)
    tensors = {
        "lora_down": made.random(4, 5, 1, 1),
        "lora_mid": made.random(4, 4, 3, 3),
        "lora_up": made.random(6, 4, 1, 1),
    }
    cp = made.layer(made.CONV, tensors, 2.0)
    wide = made.lora(made.FC1, 8, (5,), 12, 3.0)  # of a higher rank than its matrix can have
    return [*made.sd15().values(), cp, wide]


def test_a_product_is_the_layers_change(layers: list[LoraLayer]) -> None:
    for layer in layers:
        found = product(layer)
        assert made.error((found.up @ found.down).reshape(found.shape), layer.delta()) < 1e-6
        assert made.error(found.layer(layer.name).delta(), layer.delta()) < 1e-6
        assert norm(layer) == pytest.approx(float(layer.delta().norm()), rel=1e-5)


def test_cutting_is_as_good_as_the_decomposition_of_the_whole(layers: list[LoraLayer]) -> None:
    for layer in layers:
        change = spectrum(product(layer))
        expected = torch.linalg.svdvals(layer.delta().flatten(1).double())
        assert torch.allclose(change.values, expected[: len(change.values)], rtol=1e-4, atol=1e-5)
        for rank in (1, 2, 3):
            cut = change.cut(rank).layer(layer.name)
            lost = (cut.delta() - layer.delta()).double().square().sum()
            assert float(lost) == pytest.approx(float(expected[rank:].square().sum()), rel=1e-4)
            assert change.lost(rank) == pytest.approx(float(lost), rel=1e-4)
            assert cut.rank == rank


def test_a_share_takes_the_smallest_rank_that_keeps_it() -> None:
    values = torch.tensor([4.0, 2.0, 1.0, 0.0])
    change = spectrum(Factors(torch.eye(4) * values, torch.eye(4), (4, 4)))
    assert [change.rank_for(share) for share in (0.01, 16 / 21, 0.77, 20 / 21, 0.96, 1.0)] == [1, 1, 2, 2, 3, 3]


def test_a_change_of_nothing_has_rank_one() -> None:
    change = spectrum(Factors(torch.zeros(4, 2), torch.ones(2, 4), (4, 4)))
    assert change.rank_for(0.9) == 1
    assert change.energy == 0


def test_layers_of_different_ranks_get_one_alpha() -> None:
    """Which is all that diffusers asks of a file of Kohya's kind."""
    layers = [made.lora(made.FC1, 6, (5,), 2, 1.0), made.lora(made.CONV, 6, (5, 3, 3), 3, 2.0)]
    found = as_layers({layer.name: product(layer) for layer in layers})
    assert [(layer.rank, layer.alpha) for layer in found.values()] == [(2, 3.0), (3, 3.0)]
    assert made.largest_error(found, {layer.name: layer for layer in layers}) < 1e-6


def test_joined_changes_add_up() -> None:
    one, other = made.lora(made.CONV, 6, (5, 3, 3), 2, 1.0), made.lora(made.CONV, 6, (5, 3, 3), 3, 1.0)
    found = joined([(product(one), 0.5), (product(other), -2.0)]).layer(made.CONV)
    assert found.rank == 5
    assert made.error(found.delta(), one.delta() / 2 - other.delta() * 2) < 1e-6


@pytest.mark.parametrize("size", [(40, 50), (500, 450)])
def test_a_difference_of_low_rank_is_found_whole(size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    whole = made.random(size[0], 8) @ made.random(8, size[1])
    state = torch.get_rng_state()
    change = spectrum_of_whole(whole, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert made.error(change.cut(8).layer("unet.x").delta(), whole) < 1e-5
    assert change.lost(8) / change.energy < 1e-10


def test_the_rest_of_a_large_change_is_counted_as_lost() -> None:
    torch.manual_seed(3)
    whole = made.random(500, 450)
    change = spectrum_of_whole(whole, 8)
    left = whole - change.cut(8).layer("unet.x").delta()
    assert change.energy == pytest.approx(float(whole.double().square().sum()), rel=1e-6)
    assert change.lost(8) == pytest.approx(float(left.double().square().sum()), rel=1e-4)
    # Noise has the flattest of spectra, which is the hardest for random projection.
    best = torch.linalg.svdvals(whole)[:8].square().sum()
    assert float(change.energy - change.lost(8)) > 0.95 * float(best)
