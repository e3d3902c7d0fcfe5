"""Where the layers of a checkpoint lie, against models written with the published names."""

import pathlib
from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainer import ldm
from trainer.formats.checkpoint import open_checkpoint
from trainer.job.trouble import Refused

UNET = "model.diffusion_model."
TO_K = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def written(path: pathlib.Path, tensors: Mapping[str, Tensor]) -> pathlib.Path:
    save_file(dict(tensors), path)
    return path


def test_every_weight_of_a_stable_diffusion_1_checkpoint_has_its_layer(tmp_path: pathlib.Path) -> None:
    unet, vae, text = ldm.small_models()
    base = open_checkpoint(ldm.write(tmp_path / "base.safetensors", unet, vae, text))
    places = {place.layer: place for many in base.places.values() for place in many}
    modules = {f"unet.{name}": module for name, module in unet.named_modules()}
    modules |= {f"text_encoder.text_model.{n.removeprefix('text_model.')}": m for n, m in text.named_modules()}
    wanted = {n: m for n, m in modules.items() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d | torch.nn.Embedding)}
    assert base.layout.family == "sd15"
    assert places.keys() == wanted.keys()
    for name, module in wanted.items():
        assert base.container.read(places[name].tensor).equal(module.weight.detach())


def open_clip(prefix: str, width: int = 8) -> dict[str, Tensor]:
    """One layer of OpenCLIP, whose rows tell to which of query, key and value they belong."""
    block = f"{prefix}resblocks.3."
    fused = torch.cat([torch.full((width, width), float(n)) for n in range(3)])
    names = {"attn.in_proj_weight": fused, "attn.out_proj.weight": torch.ones(width, width)}
    names |= {"mlp.c_fc.weight": torch.ones(4 * width, width), "mlp.c_proj.weight": torch.ones(width, 4 * width)}
    return {block + name: tensor for name, tensor in names.items()} | {block + "ln_1.weight": torch.ones(width)}


@pytest.mark.parametrize(
    ("family", "others", "component"),
    [
        ("sd2", open_clip("cond_stage_model.model.transformer."), "text_encoder"),
        (
            "sdxl",
            open_clip("conditioner.embedders.1.model.transformer.")
            | {"conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight": torch.ones(4, 4)},
            "text_encoder_2",
        ),
    ],
)
def test_query_key_and_value_are_found_in_the_rows_of_one_tensor(
    tmp_path: pathlib.Path, family: str, others: dict[str, Tensor], component: str
) -> None:
    base = open_checkpoint(written(tmp_path / "a.safetensors", {TO_K: torch.ones(4, 16), **others}))
    assert base.layout.family == family
    places = {place.layer: place for many in base.places.values() for place in many}
    layer = f"{component}.text_model.encoder.layers.3."
    for number, name in enumerate(("q_proj", "k_proj", "v_proj")):
        place = places[f"{layer}self_attn.{name}"]
        rows = base.container.read(place.tensor)[place.rows()]
        assert rows.shape == place.shape == (8, 8)
        assert rows.eq(number).all()
    assert {f"{layer}{name}" for name in ("self_attn.out_proj", "mlp.fc1", "mlp.fc2")} <= places.keys()
    assert "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k" in places


@pytest.mark.parametrize(("width", "family"), [(768, "sd15"), (1024, "sd2"), (2048, "sdxl")])
def test_a_checkpoint_without_text_encoder_is_told_by_its_attention(
    tmp_path: pathlib.Path, width: int, family: str
) -> None:
    base = open_checkpoint(written(tmp_path / "a.safetensors", {TO_K: torch.ones(4, width)}))
    assert base.layout.family == family


@pytest.mark.parametrize(
    "name", ["lora_unet_x.lora_up.weight", "model.diffusion_model.double_blocks.0.img_attn.weight"]
)
def test_other_files_are_refused(tmp_path: pathlib.Path, name: str) -> None:
    with pytest.raises(Refused, match="no single-file checkpoint"):
        open_checkpoint(written(tmp_path / "a.safetensors", {name: torch.ones(2, 2)}))
