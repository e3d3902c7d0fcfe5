"""No layer grows beyond the limit, by the arithmetic that readers of the file use."""

import pathlib
import types
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from tests.trainer.formats import made
from trainer.adapters.base import Layer
from trainer.engine.max_norm import limit
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora

KINDS: Mapping[str, Mapping[str, tuple[int, ...]]] = types.MappingProxyType(
    {
        "linear": {"lora_down": (4, 20), "lora_up": (12, 4)},
        "convolution": {"lora_down": (4, 6, 3, 3), "lora_up": (12, 4, 1, 1)},
        "loha": {"hada_w1_a": (12, 4), "hada_w1_b": (4, 20), "hada_w2_a": (12, 4), "hada_w2_b": (4, 20)},
        "lokr": {"lokr_w1": (3, 4), "lokr_w2_a": (4, 4), "lokr_w2_b": (4, 5)},
        "lokr with whole matrices": {"lokr_w1": (3, 4), "lokr_w2": (4, 5)},
    }
)


def layer(shapes: Mapping[str, tuple[int, ...]], alpha: float) -> Layer:
    tensors = {kind: nn.Parameter(made.random(*shape)) for kind, shape in shapes.items()}
    return Layer(tensors, alpha, lambda: torch.zeros(1))


def change(live: Layer) -> Tensor:
    tensors = {kind: tensor.detach().clone() for kind, tensor in live.tensors.items()}
    return LoraLayer("", types.MappingProxyType(tensors), live.alpha).delta()


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_beyond_the_limit_is_scaled_to_it_by_all_its_factors_alike(kind: str) -> None:
    torch.manual_seed(0)
    large = layer(KINDS[kind], 3.0)
    before, tensors = change(large), {name: tensor.detach().clone() for name, tensor in large.tensors.items()}
    limit([large], 0.5)
    after = change(large)
    assert float(after.norm()) == pytest.approx(0.5, rel=1e-5)
    assert torch.allclose(after / after.norm(), before / before.norm(), atol=1e-6)
    ratios = [float(tensor.detach().norm() / tensors[name].norm()) for name, tensor in large.tensors.items()]
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-5)
    assert max(ratios) < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_within_the_limit_keeps_its_bits(kind: str) -> None:
    torch.manual_seed(0)
    small = layer(KINDS[kind], 3.0)
    before = {name: tensor.detach().clone() for name, tensor in small.tensors.items()}
    limit([small], float(change(small).norm()) * 1.001)
    assert all(torch.equal(tensor, before[name]) for name, tensor in small.tensors.items())


def test_a_layer_that_changes_nothing_stays_so() -> None:
    tensors = {"lora_down": nn.Parameter(torch.ones(2, 3)), "lora_up": nn.Parameter(torch.zeros(4, 2))}
    nothing = Layer(tensors, 1.0, lambda: torch.zeros(4, 3))
    limit([nothing], 1.0)
    assert torch.equal(nothing.tensors["lora_down"], torch.ones(2, 3))


@pytest.mark.parametrize("kind", ["locon", "loha"])
def test_a_training_keeps_to_the_limit_also_after_a_stop(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, kind: str
) -> None:
    training = {"epochs": 0, "steps": 4, "text_encoder": False}
    changes = {
        "adapter": {"type": kind, "max_norm": 0.02},
        "training": training,
        "output": {"save_precision": "fp32"},
    }
    job = tiny.job(tmp_path, tiny_model, changes)
    whole, _ = carried_out(job)
    norms = [float(one.delta().norm()) for one in open_lora(whole.weights / "tiny.safetensors").layers.values()]
    assert max(norms) == pytest.approx(0.02, rel=1e-4)
    assert min(norms) < 0.0199
    parts, _ = carried_out(job, stop_at=2)
    told(job, parts)
    assert equal(final(whole), final(parts))
