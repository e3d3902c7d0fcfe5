"""Which layers are adapted by choice, and with what rank and alpha."""

import pytest
from torch import nn

from trainer.adapters.places import places
from trainer.families.base import Component
from trainer.job.settings import Adapter


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(8, 8)


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(8, 8)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj_in = nn.Conv2d(8, 8, 1)
        self.attn = Attention()
        self.ff = FeedForward()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3)
        self.time = nn.Linear(8, 8)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.residual = Residual()
        self.outside = nn.Linear(8, 8)


def component() -> Component:
    classes = (frozenset({"Block"}), frozenset({"Residual"}))
    return Component("net", Net(), *classes, 1e-4, frozenset({"Attention"}), frozenset({"FeedForward"}))


ATTENTION = {"block.attn.to_q"}
MLP = ATTENTION | {"block.ff.fc1"}
LINEAR = MLP | {"block.proj_in"}
ALL = LINEAR | {"residual.conv", "residual.time"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"type": "lora"}, LINEAR),
        ({"type": "locon"}, ALL),
        ({"type": "lora", "targets": "attention"}, ATTENTION),
        ({"type": "locon", "targets": "attention_mlp"}, MLP),
        ({"type": "locon", "targets": "linear"}, LINEAR),
        ({"type": "locon", "targets": "convolutions"}, ALL),
    ],
)
def test_the_targets_name_the_layers(settings: dict[str, str], expected: set[str]) -> None:
    assert {place.path for place in places(component(), Adapter(**settings))} == expected


def test_larger_convolutions_have_a_rank_of_their_own() -> None:
    found = places(component(), Adapter(type="locon", rank=4, alpha=3, conv_rank=2, conv_alpha=1))
    assert {place.path: (place.rank, place.alpha) for place in found} == {
        **dict.fromkeys(LINEAR | {"residual.time"}, (4, 3)),
        "residual.conv": (2, 1),
    }


def test_rank_stabilised_means_an_alpha_that_divided_by_the_rank_is_alpha_over_its_root() -> None:
    found = places(
        component(), Adapter(type="locon", rank=16, alpha=3, conv_rank=4, conv_alpha=1, rank_stabilised=True)
    )
    scales = {place.path: place.alpha / place.rank for place in found}
    assert scales["block.attn.to_q"] == 3 / 4
    assert scales["residual.conv"] == 1 / 2


def test_lora_on_convolutions_is_called_locon() -> None:
    with pytest.raises(ValueError, match="choose LoCon"):
        Adapter(type="lora", targets="convolutions")
