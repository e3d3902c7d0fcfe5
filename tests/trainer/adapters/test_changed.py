"""What LoHa, LoKr and DoRA add to a layer, that it is nothing at first, and what the dropouts leave of it."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.adapters.base import Injected, adapter
from trainer.families.base import Component
from trainer.job.settings import Adapter

KINDS: tuple[Mapping[str, Any], ...] = (
    {"type": "loha"},
    {"type": "lokr"},
    {"type": "lokr", "factor": 2},
    {"type": "lokr", "full_matrix": True},
    {"type": "loha", "rank_stabilised": True},
    {"type": "locon", "decompose": True},
    {"type": "loha", "decompose": True},
    {"type": "lokr", "decompose": True},
)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 10)
        self.conv = nn.Conv2d(10, 8, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.linear(x).movedim(-1, 1))


def adapted(settings: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> tuple[nn.Module, nn.Module, Injected]:
    """A net as it was and adapted, with rank 2 of 4 where there is one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(Net()).to(dtype).requires_grad_(False)
    plain = copy.deepcopy(net)
    part = Component("net", net, frozenset(), frozenset({"Net"}), 1e-4)
    found = Adapter(**{"rank": 2, "alpha": 3.0, "conv_rank": 2, "conv_alpha": 1.0, **settings})
    return plain, net, adapter(found.type).inject([part], found, 1)


@torch.no_grad()
def stir(injected: Injected) -> None:
    torch.manual_seed(5)
    for tensor in injected.tensors().values():
        tensor.add_(torch.randn_like(tensor) * 0.1)


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_nothing_changes_before_the_first_step_and_then_the_weight_by_delta(settings: Mapping[str, Any]) -> None:
    plain, net, injected = adapted(settings)
    x = torch.randn(2, 6, 6, 12)
    assert torch.equal(net(x), plain(x))
    assert all(not layer.delta().any() for layer in injected.layers.values())
    stir(injected)
    with torch.no_grad():
        for name, layer in injected.layers.items():
            assert layer.delta().any()
            plain.get_submodule(name.removeprefix("net.")).weight += layer.delta()
    torch.testing.assert_close(net(x), plain(x))


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_every_number_learns_and_the_base_does_not(settings: Mapping[str, Any]) -> None:
    _, net, injected = adapted(settings)
    stir(injected)
    net(torch.randn(2, 6, 6, 12)).square().sum().backward()
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in injected.parameters["net"])
    assert {id(tensor) for tensor in injected.parameters["net"]} == {
        id(tensor) for tensor in net.parameters() if tensor.requires_grad
    }
    assert all(tensor.dtype == torch.float32 for tensor in injected.parameters["net"])


def test_lohas_own_gradients_are_those_of_its_formula() -> None:
    _, _, injected = adapted({"type": "loha"})
    stir(injected)
    layer = injected.layers["net.0.linear"]
    layer.delta().square().sum().backward()
    factors = {kind: tensor.detach().clone().requires_grad_() for kind, tensor in layer.tensors.items()}
    one = factors["hada_w1_a"] @ factors["hada_w1_b"]
    delta = one * (factors["hada_w2_a"] @ factors["hada_w2_b"]) * 3 / 2
    delta.square().sum().backward()
    for kind, tensor in layer.tensors.items():
        torch.testing.assert_close(tensor.grad, factors[kind].grad)


def test_loha_and_lokr_are_the_products_of_their_papers() -> None:
    _, _, loha = adapted({"type": "loha"})
    stir(loha)
    t = loha.layers["net.0.conv"].tensors
    expected = (t["hada_w1_a"] @ t["hada_w1_b"]) * (t["hada_w2_a"] @ t["hada_w2_b"]) * 1 / 2
    torch.testing.assert_close(loha.layers["net.0.conv"].delta().flatten(1), expected)

    _, _, lokr = adapted({"type": "lokr", "full_matrix": True})
    stir(lokr)
    t = lokr.layers["net.0.conv"].tensors
    # Each block of the weight is the larger matrix times one number of the smaller; alpha means nothing.
    delta = lokr.layers["net.0.conv"].delta()
    for row, values in enumerate(t["lokr_w1"]):
        for column, value in enumerate(values):
            rows, columns = t["lokr_w2"].shape[:2]
            block = delta[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
            torch.testing.assert_close(block, value * t["lokr_w2"])


def test_dora_learns_the_norms_of_the_inputs_columns_apart_from_their_direction() -> None:
    _, net, injected = adapted({"type": "locon", "decompose": True})
    stir(injected)
    layer, weight = injected.layers["net.0.conv"], net.get_submodule("0.conv").weight
    assert tuple(layer.tensors["dora_scale"].shape) == (1, 10, 1, 1)
    changed = weight + layer.delta()
    norms = changed.transpose(0, 1).flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, layer.tensors["dora_scale"].flatten())


@pytest.mark.parametrize("kind", ["locon", "loha", "lokr"])
def test_rank_stabilised_scales_by_alpha_over_the_root_of_the_rank(kind: str) -> None:
    deltas = []
    for on, alpha in ((False, 3), (True, 6)):
        _, _, injected = adapted({"type": kind, "rank": 4, "factor": 1, "rank_stabilised": on})
        stir(injected)
        deltas.append(injected.layers["net.0.linear"].delta())
        assert injected.layers["net.0.linear"].alpha == alpha
    torch.testing.assert_close(deltas[1], deltas[0] * 2)


def test_half_precision_is_only_in_the_pass_through_the_layer() -> None:
    _, net, injected = adapted({"type": "loha", "decompose": True}, torch.bfloat16)
    stir(injected)
    x = torch.randn(2, 6, 6, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = net(x)
        found.float().square().sum().backward()
    assert found.dtype == torch.bfloat16
    assert all(tensor.grad.dtype == torch.float32 for tensor in injected.parameters["net"])
    assert all(layer.delta().dtype == torch.float32 for layer in injected.layers.values())
    # Samples are drawn without autocast, from a model and numbers that are half precision throughout.
    torch.testing.assert_close(net(x.bfloat16()), found, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("dropout", ["dropout", "rank_dropout", "module_dropout"])
@pytest.mark.parametrize("kind", [{"type": "locon"}, {"type": "loha"}, {"type": "lokr", "decompose": True}], ids=str)
def test_dropouts_are_chance_of_the_step_in_training_and_nothing_otherwise(
    dropout: str, kind: Mapping[str, Any]
) -> None:
    _, net, injected = adapted({**kind, dropout: 0.5})
    _, without, other = adapted(kind)
    stir(injected)
    stir(other)
    x = torch.randn(4, 6, 6, 12)
    torch.testing.assert_close(net.eval()(x), without.eval()(x))
    net.train()

    def outputs() -> list[Tensor]:
        torch.manual_seed(3)
        return [net(x).detach() for _ in range(400)]

    found = outputs()
    assert all(torch.equal(one, two) for one, two in zip(found[:5], outputs(), strict=False))
    assert any(not torch.allclose(found[0], one, atol=1e-4) for one in found[1:10])


def test_rank_dropout_leaves_out_whole_ranks_of_a_lora_for_each_picture_and_scales_up_the_others() -> None:
    _, net, injected = adapted({"type": "locon", "rank": 4, "rank_dropout": 0.25})
    stir(injected)
    layer = net.get_submodule("0.linear").train()
    tensors = injected.layers["net.0.linear"].tensors
    x = torch.randn(64, 3, 12)
    change = layer(x) - functional.linear(x, layer.weight, layer.bias)
    ranks = torch.linalg.lstsq(tensors["lora_up"], change[:, 0].T).solution.T / (3 / 4)
    whole = functional.linear(x, tensors["lora_down"])[:, 0]
    share = (ranks / whole).detach()
    kept = share > 0.5
    torch.testing.assert_close(share, kept * (1 / 0.75), atol=1e-3, rtol=1e-3)
    assert 0.6 < kept.float().mean() < 0.9


def test_rank_dropout_leaves_out_outputs_of_a_change() -> None:
    plain, net, injected = adapted({"type": "loha", "rank_dropout": 0.5})
    stir(injected)
    x = torch.randn(2, 6, 6, 12)
    whole, base = (one.get_submodule("0.linear")(x).detach() for one in (net.eval(), plain))
    torch.manual_seed(4)
    found = net.train().get_submodule("0.linear")(x).detach() - base
    kept = found.flatten(0, 2).norm(dim=0) > 1e-6
    torch.testing.assert_close(found, (whole - base) * kept * 2, atol=1e-5, rtol=1e-4)
    assert 0 < kept.sum() < 10


def test_module_dropout_leaves_a_layer_as_it_is_or_changes_it_wholly() -> None:
    for kind in ("locon", "loha"):
        plain, net, injected = adapted({"type": kind, "module_dropout": 0.25})
        stir(injected)
        x = torch.randn(2, 6, 6, 12)
        whole, base = (one.get_submodule("0.linear")(x) for one in (net.eval(), plain))
        torch.manual_seed(0)
        found = [net.train().get_submodule("0.linear")(x) for _ in range(100)]
        left_out = sum(torch.allclose(one, base, atol=1e-6) for one in found)
        assert left_out + sum(torch.allclose(one, whole, atol=1e-6) for one in found) == 100
        assert 10 < left_out < 40


def test_nothing_has_no_direction_but_breaks_nothing() -> None:
    """A column of zeros has the norm 0, by which no one can divide."""
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 3))).requires_grad_(False)
    net[0][0].weight[:, 1] = 0
    part = Component("net", net, frozenset({"Sequential"}), frozenset(), 1e-4)
    injected = adapter("lora").inject([part], Adapter(decompose=True), 1)
    net(torch.randn(2, 4)).square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in injected.parameters["net"])
