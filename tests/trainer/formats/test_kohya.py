"""Kohya's key names, from the facts of the field at full size, and what is written in a file."""

import json
import pathlib
from collections.abc import Iterator

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from trainer.adapters.base import Layer
from trainer.adapters.places import places
from trainer.families import clip_diffusion as clip
from trainer.families.base import Component
from trainer.families.sources import CONFIGS
from trainer.formats import kohya
from trainer.formats.hashes import model_hash
from trainer.job.settings import Adapter

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out_0")


def transformer_keys(place: str) -> Iterator[str]:
    """The keys of one spatial transformer, as sd-scripts names them."""
    yield f"lora_unet_{place}_proj_in"
    yield f"lora_unet_{place}_proj_out"
    for attention in ("attn1", "attn2"):
        yield from (f"lora_unet_{place}_transformer_blocks_0_{attention}_{name}" for name in PROJECTIONS)
    yield f"lora_unet_{place}_transformer_blocks_0_ff_net_0_proj"
    yield f"lora_unet_{place}_transformer_blocks_0_ff_net_2"


def unet_keys() -> set[str]:
    """192 keys: two transformers in each of three down blocks, one in the middle, three in each of three up blocks."""
    places = [f"down_blocks_{block}_attentions_{n}" for block in (0, 1, 2) for n in (0, 1)]
    places += ["mid_block_attentions_0"]
    places += [f"up_blocks_{block}_attentions_{n}" for block in (1, 2, 3) for n in (0, 1, 2)]
    return {key for place in places for key in transformer_keys(place)}


def convolution_keys() -> set[str]:
    """86 more: 22 residual blocks of three layers, their shortcuts, three downsamplers and three upsamplers."""
    down = [f"down_blocks_{block}_resnets_{n}" for block in range(4) for n in range(2)]
    middle = [f"mid_block_resnets_{n}" for n in range(2)]
    up = [f"up_blocks_{block}_resnets_{n}" for block in range(4) for n in range(3)]
    keys = {f"{place}_{layer}" for place in down + middle + up for layer in ("conv1", "conv2", "time_emb_proj")}
    keys |= {f"{place}_conv_shortcut" for place in ("down_blocks_1_resnets_0", "down_blocks_2_resnets_0", *up)}
    keys |= {f"down_blocks_{block}_downsamplers_0_conv" for block in range(3)}
    keys |= {f"up_blocks_{block}_upsamplers_0_conv" for block in range(3)}
    return {f"lora_unet_{key}" for key in keys}


def text_keys(layers: int) -> set[str]:
    names = [f"self_attn_{name}_proj" for name in ("q", "k", "v", "out")] + ["mlp_fc1", "mlp_fc2"]
    return {f"lora_te_text_model_encoder_layers_{n}_{name}" for n in range(layers) for name in names}


def config(family: str, part: str) -> dict[str, object]:
    return json.loads((CONFIGS / family / part / "config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("family", "text_layers"), [("sd15", 12), ("sd2", 23)])
def test_keys_at_full_size_are_kohyas(family: str, text_layers: int) -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config(family, "unet"))
        text = CLIPTextModel(CLIPTextConfig(**config(family, "text_encoder")))
    unet_part = clip.unet_component(unet, 1e-4)
    text_part = clip.text_component("text_encoder.text_model", clip.text_model(text), 1e-4)

    def keys(part: Component, convolutions: bool) -> list[str]:
        found = places(part, Adapter(type="locon" if convolutions else "lora"))
        return [kohya.key(f"{part.name}.{place.path}") for place in found]

    assert sorted(keys(unet_part, False)) == sorted(unet_keys())
    assert sorted(keys(unet_part, True)) == sorted(unet_keys() | convolution_keys())
    assert sorted(keys(text_part, True)) == sorted(text_keys(text_layers))
    assert len(unet_keys()) == 192
    assert len(convolution_keys()) == 278 - 192


def layers() -> dict[str, Layer]:
    down, up = torch.nn.Parameter(torch.randn(4, 8)), torch.nn.Parameter(torch.randn(6, 4))
    return {
        "unet.mid_block.attentions.0.proj_in": Layer({"lora_down": down, "lora_up": up}, 2.0, lambda: up @ down / 2)
    }


def test_a_file_holds_down_up_and_alpha_and_the_hash_of_its_tensors(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.safetensors"
    assert kohya.write(path, layers(), "fp32", {"ss_output_name": "a"}) == path.stat().st_size
    name = "lora_unet_mid_block_attentions_0_proj_in"
    assert set(load_file(path)) == {f"{name}.lora_down.weight", f"{name}.lora_up.weight", f"{name}.alpha"}
    assert load_file(path)[f"{name}.alpha"] == 2
    with safe_open(path, "pt") as file:
        assert file.metadata()["ss_output_name"] == "a"
        assert file.metadata()["sshs_model_hash"] == model_hash(path.read_bytes())


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
def test_precision_is_that_asked_for(tmp_path: pathlib.Path, precision: str) -> None:
    kohya.write(tmp_path / "a.safetensors", layers(), precision, {})
    assert {tensor.dtype for tensor in load_file(tmp_path / "a.safetensors").values()} == {kohya.DTYPES[precision]}


def test_a_failed_write_leaves_the_old_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    kohya.write(path, layers(), "fp32", {})
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        kohya.write(path, layers(), "fp32", {})
    assert path.read_bytes() == before
