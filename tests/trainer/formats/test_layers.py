"""The change of each kind of layer, against the sums and convolutions that define it."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from tests.trainer.formats import made
from tests.trainer.formats.made import layer, random


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_lora_is_up_times_down_times_alpha_over_rank() -> None:
    one = made.lora(made.FC1, 6, (5,), 4, 3.0)
    x = random(2, 5)
    through = x @ one.tensors["lora_down"].T @ one.tensors["lora_up"].T * 3 / 4
    assert torch.allclose(x @ one.delta().T, through, atol=1e-5)
    assert (one.kind, one.rank, one.scale, one.shape) == ("lora", 4, 0.75, (6, 5))


def test_a_missing_alpha_is_scale_one() -> None:
    tensors = made.lora(made.FC1, 6, (5,), 4, 4.0)
    assert layer(made.FC1, tensors.tensors, None).scale == 1
    assert layer(made.FC1, tensors.tensors, None).delta().equal(tensors.delta())


def test_locon_is_a_convolution_and_then_one_of_one_pixel() -> None:
    one = made.lora(made.CONV, 6, (5, 3, 3), 4, 2.0)
    x = random(1, 5, 7, 7)
    through = conv2d(conv2d(x, one.tensors["lora_down"]), one.tensors["lora_up"]) * 2 / 4
    assert torch.allclose(conv2d(x, one.delta()), through, atol=1e-4)


def test_locon_in_cp_form_is_three_convolutions() -> None:
    tensors = {"lora_down": random(4, 5, 1, 1), "lora_mid": random(4, 4, 3, 3), "lora_up": random(6, 4, 1, 1)}
    one = layer(made.CONV, tensors, 2.0)
    x = random(1, 5, 7, 7)
    inner = conv2d(conv2d(x, tensors["lora_down"]), tensors["lora_mid"])
    assert torch.allclose(conv2d(x, one.delta()), conv2d(inner, tensors["lora_up"]) * 2 / 4, atol=1e-4)
    assert one.shape == (6, 5, 3, 3)


def test_loha_is_the_product_by_elements_of_two_loras() -> None:
    a, b, c, d = random(6, 4), random(4, 5), random(6, 4), random(4, 5)
    one = layer(made.FC1, {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}, 2.0)
    expected = [[sum(a[i] * b[:, j]) * sum(c[i] * d[:, j]) / 2 for j in range(5)] for i in range(6)]
    assert torch.allclose(one.delta(), torch.tensor(expected), atol=1e-5)
    assert (one.kind, one.rank) == ("loha", 4)


def tucker(core: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Σ core[i, j] · a[i, out] · b[j, in], number by number."""
    terms = [
        core[i, j][None, None] * a[i][:, None, None, None] * b[j][None, :, None, None]
        for i in range(a.shape[0])
        for j in range(b.shape[0])
    ]
    return torch.stack(terms).sum(0)


def test_loha_in_tucker_form() -> None:
    sides = [(random(3, 3, 3, 3), random(3, 6), random(3, 5)) for _ in range(2)]
    tensors = {}
    for n, (core, a, b) in enumerate(sides, 1):
        tensors |= {f"hada_t{n}": core, f"hada_w{n}_a": a, f"hada_w{n}_b": b}
    one = layer(made.CONV, tensors, 6.0)
    assert torch.allclose(one.delta(), tucker(*sides[0]) * tucker(*sides[1]) * 2, atol=1e-4)


def test_loha_and_lokr_of_a_convolution_get_its_kernel_back() -> None:
    flat = {
        "hada_w1_a": random(6, 2),
        "hada_w1_b": random(2, 45),
        "hada_w2_a": random(6, 2),
        "hada_w2_b": random(2, 45),
    }
    assert layer(made.CONV, flat, 1.0).shape == (6, 5, 3, 3)
    one = layer(made.CONV, {"lokr_w1": random(2, 3), "lokr_w2_a": random(4, 2), "lokr_w2_b": random(2, 5 * 9)}, 2.0)
    w2 = (one.tensors["lokr_w2_a"] @ one.tensors["lokr_w2_b"]).reshape(4, 5, 3, 3)
    assert one.delta()[5, 7].allclose(one.tensors["lokr_w1"][1, 1] * w2[1, 2])


@pytest.mark.parametrize("whole", [("w1", "w2"), ("w1",), ("w2",), ()])
def test_lokr_is_the_kronecker_product(whole: tuple[str, ...]) -> None:
    parts: dict[str, Tensor] = {}
    factors = []
    for name, shape in (("w1", (2, 3)), ("w2", (4, 5))):
        a, b = random(shape[0], 2), random(2, shape[1])
        factors.append(a @ b)
        parts |= {f"lokr_{name}": a @ b} if name in whole else {f"lokr_{name}_a": a, f"lokr_{name}_b": b}
    one = layer(made.FC1, parts, 6.0)
    scale = 1 if len(whole) == 2 else 3
    assert torch.allclose(one.delta(), torch.kron(*factors) * scale, atol=1e-4)
    assert one.scale == scale


def test_lokr_in_tucker_form() -> None:
    core, a, b, first = random(2, 2, 3, 3), random(2, 4), random(2, 5), random(2, 3)
    one = layer(made.CONV, {"lokr_w1": first, "lokr_t2": core, "lokr_w2_a": a, "lokr_w2_b": b}, 2.0)
    assert one.shape == (8, 15, 3, 3)
    assert one.delta()[5, 7].allclose(first[1, 1] * tucker(core, a, b)[1, 2], atol=1e-5)


@pytest.mark.parametrize(("scale_shape", "axis"), [((8, 1, 1, 1), 0), ((1, 5, 1, 1), 1)])
def test_dora_sets_the_norms_of_a_convolution(scale_shape: tuple[int, ...], axis: int) -> None:
    scale, weight = random(*scale_shape).abs(), random(8, 5, 3, 3)
    plain = made.lora(made.CONV, 8, (5, 3, 3), 4, 2.0)
    changed = layer(made.CONV, {**plain.tensors, "dora_scale": scale}, 2.0).changed(weight, 1.0)
    norms = changed.movedim(axis, 0).flatten(1).norm(dim=1)
    assert torch.allclose(norms, scale.flatten(), atol=1e-5)


@pytest.mark.parametrize(("scale_shape", "axis"), [((6, 1), 1), ((1, 5), 0)])
def test_dora_sets_the_norms(scale_shape: tuple[int, int], axis: int) -> None:
    scale, weight = random(*scale_shape).abs(), random(6, 5)
    plain = made.lora(made.FC1, 6, (5,), 4, 2.0)
    dora = layer(made.FC1, {**plain.tensors, "dora_scale": scale}, 2.0)
    changed = dora.changed(weight, 1.0)
    assert torch.allclose(changed.norm(dim=axis, keepdim=True), scale, atol=1e-5)
    direction = torch.nn.functional.cosine_similarity(changed, weight + plain.delta(), dim=axis)
    assert torch.allclose(direction, torch.ones_like(direction), atol=1e-5)
    assert torch.allclose(dora.changed(weight, 0.0), weight)
    assert torch.allclose(plain.changed(weight, 0.5), weight + plain.delta() / 2)
