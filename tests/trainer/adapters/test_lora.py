"""Which layers are adapted, how strongly, and that nothing changes before the first step."""

import torch
from torch import nn

from trainer.adapters.lora import inject
from trainer.families.base import Component
from trainer.job.settings import Adapter


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(8, 8)
        self.proj = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(self.to_q(x.movedim(1, -1)).movedim(-1, 1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.shortcut = nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.shortcut(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Attention(), Residual()])
        self.outside = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[1](self.blocks[0](x))


def component() -> Component:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net().requires_grad_(False)
    return Component("net", net, frozenset({"Attention"}), frozenset({"Residual"}), 1e-4)


def test_lora_takes_the_blocks_and_locon_the_convolutions_too() -> None:
    lora = inject([component()], Adapter(type="lora", rank=2, alpha=1), 1)
    assert set(lora.layers) == {"net.blocks.0.to_q", "net.blocks.0.proj"}
    locon = inject([component()], Adapter(type="locon", rank=2, alpha=1, conv_rank=3, conv_alpha=6), 1)
    assert set(locon.layers) == {*lora.layers, "net.blocks.1.conv", "net.blocks.1.shortcut"}
    shapes = {name: tuple(layer.tensors["lora_down"].shape) for name, layer in locon.layers.items()}
    assert shapes["net.blocks.1.conv"] == (3, 8, 3, 3)
    assert shapes["net.blocks.1.shortcut"] == (2, 8, 1, 1)
    assert tuple(locon.layers["net.blocks.1.conv"].tensors["lora_up"].shape) == (8, 3, 1, 1)
    assert (locon.layers["net.blocks.1.conv"].alpha, locon.layers["net.blocks.0.to_q"].alpha) == (6, 1)


def test_nothing_changes_before_the_first_step_and_the_scale_is_alpha_over_rank() -> None:
    part = component()
    x = torch.randn(1, 8, 4, 4)
    before = part.module(x)
    injected = inject([part], Adapter(type="locon", rank=2, alpha=1, conv_rank=4, conv_alpha=2), 1)
    assert torch.equal(part.module(x), before)
    weights = [(name, layer) for name, layer in injected.layers.items() if name.endswith("conv")]
    layer = weights[0][1]
    with torch.no_grad():
        layer.tensors["lora_up"].fill_(0.5)
        base = part.module.get_submodule("blocks.1.conv").base_layer
        hidden = part.module.blocks[0](x)
        delta = torch.einsum("ork,rixy->oixy", layer.tensors["lora_up"].flatten(2), layer.tensors["lora_down"]) * (
            2 / 4
        )
        expected = nn.functional.conv2d(hidden, base.weight + delta, base.bias, padding=1)
        assert torch.allclose(part.module.get_submodule("blocks.1.conv")(hidden), expected, atol=1e-5)


def test_first_values_follow_the_seed_and_leave_the_process_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (inject([component()], Adapter(rank=2), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    name = "net.blocks.0.to_q.lora_down"
    assert torch.equal(first.tensors()[name], again.tensors()[name])
    assert not torch.equal(first.tensors()[name], other.tensors()[name])
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in first.parameters["net"])
