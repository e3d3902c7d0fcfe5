"""LyCORIS itself, given a file of ours, computes what our layers compute.

Compared is what a layer gives out: in LyCORIS 4.1.3 the merging of LoHa and LoKr scales twice, its forward once.
"""

import copy
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from lycoris.functional.general import factorization
from lycoris.modules import get_module, make_module
from safetensors.torch import load_file
from torch import nn

from trainer.adapters.base import adapter
from trainer.adapters.lokr import divided
from trainer.families.latent_diffusion import unet_component
from trainer.formats import kohya, layouts
from trainer.formats.names import to_kohya
from trainer.job.settings import Adapter

KINDS: tuple[Mapping[str, Any], ...] = (
    {"type": "loha"},
    {"type": "loha", "rank_stabilised": True},
    {"type": "lokr"},
    {"type": "lokr", "factor": 2, "rank": 1, "conv_rank": 1},
    {"type": "lokr", "full_matrix": True},
    {"type": "lokr", "rank_stabilised": True},
)


def wrap(module: nn.Module, tensors: Mapping[str, torch.Tensor], name: str) -> nn.Module:
    """The layer as LyCORIS runs it with the tensors of the file."""
    kind, parts = get_module(tensors, name)
    found = make_module(kind, parts, name, module)
    assert found is not None
    found.apply_to()
    return found.eval()


@pytest.mark.parametrize("settings", KINDS, ids=str)
@torch.no_grad()
def test_every_layer_and_the_whole_model_give_out_the_same(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, settings: Mapping[str, Any]
) -> None:
    ours = UNet2DConditionModel.from_pretrained(tiny_model, subfolder="unet").requires_grad_(False).eval()
    theirs = copy.deepcopy(ours)
    found = Adapter(**{"rank": 2, "alpha": 3.0, "conv_rank": 3, "conv_alpha": 1.0, **settings})
    injected = adapter(found.type).inject([unet_component(ours, 1e-4)], found, 1)
    torch.manual_seed(3)
    for tensor in injected.tensors().values():
        tensor.add_(torch.randn_like(tensor) * 0.2)
    kohya.write(tmp_path / "a.safetensors", injected.layers, "fp32", {})
    tensors = load_file(tmp_path / "a.safetensors")
    kept = []
    for name in injected.layers:
        path = name.removeprefix("unet.")
        base = theirs.get_submodule(path)
        x = torch.randn(2, base.in_channels, 6, 6) if isinstance(base, nn.Conv2d) else torch.randn(2, base.in_features)
        kept.append(wrap(base, tensors, to_kohya(name, layouts.SD15)))
        torch.testing.assert_close(base(x), ours.get_submodule(path)(x), rtol=1e-5, atol=1e-5)
    inputs = torch.randn(2, 4, 16, 16), torch.tensor([3, 500]), torch.randn(2, 7, 16)
    torch.testing.assert_close(theirs(*inputs).sample, ours(*inputs).sample, rtol=1e-4, atol=1e-4)
    assert len(kept) == 79


@pytest.mark.parametrize("factor", [-1, 1, 2, 3, 4, 8, 16, 64])
def test_weights_are_divided_as_lycoris_divides_them(factor: int) -> None:
    sizes = [1, 2, 7, 96, 127, 250, 320, 360, 640, 768, 960, 1280, 1920, 2560, 5120, 10240]
    assert [divided(size, factor) for size in sizes] == [factorization(size, factor) for size in sizes]
