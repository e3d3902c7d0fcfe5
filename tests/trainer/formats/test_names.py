"""Names at full size: what Kohya's scripts write is found again in the models, whichever naming they chose."""

import json
from collections.abc import Iterator

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from tests.trainer import ldm
from trainer.families.sources import CONFIGS
from trainer.formats import layouts, names

PROJECTIONS = ("to_q", "to_k", "to_v", "to_out_0")
SDXL_UNET = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def unet(settings: dict[str, object]) -> nn.Module:
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(settings)


def config(family: str) -> dict[str, object]:
    return json.loads((CONFIGS / family / "unet" / "config.json").read_text(encoding="utf-8"))


def paths(model: nn.Module) -> list[str]:
    return [path for path, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


@pytest.mark.parametrize("family", ["sd15", "sd2"])
def test_underscores_become_dots_again_at_full_size(family: str) -> None:
    found = paths(unet(config(family)))
    assert len(found) > 278
    for path in found:
        assert names.from_kohya(f"lora_unet_{path.replace('.', '_')}") == f"unet.{path}"
        published = ldm.unet_name(f"{path}.").removesuffix(".").replace(".", "_")
        assert names.from_kohya(f"lora_unet_{published}") == f"unet.{path}"


def test_every_layer_of_sdxl_has_its_published_name_and_comes_back() -> None:
    model = unet(SDXL_UNET)
    for path in paths(model):
        name = names.to_kohya(f"unet.{path}", layouts.SDXL)
        assert names.from_kohya(name) == f"unet.{path}"
        assert names.from_kohya(f"lora_unet_{path.replace('.', '_')}") == f"unet.{path}"
    attended = [path for path in paths(model) if ".attentions." in path]
    found = {names.to_kohya(f"unet.{path}", layouts.SDXL) for path in attended}
    assert found == set(sdxl_attention_keys())
    assert len(found) == 722


def sdxl_attention_keys() -> Iterator[str]:
    """The 722 keys that sd-scripts writes for SDXL's UNet: transformers of depth 2 and 10."""
    places = {"4_1": 2, "5_1": 2, "7_1": 10, "8_1": 10}
    yield from (key for place, depth in places.items() for key in transformer(f"input_blocks_{place}", depth))
    yield from transformer("middle_block_1", 10)
    places = {"0_1": 10, "1_1": 10, "2_1": 10, "3_1": 2, "4_1": 2, "5_1": 2}
    yield from (key for place, depth in places.items() for key in transformer(f"output_blocks_{place}", depth))


def transformer(place: str, depth: int) -> Iterator[str]:
    yield from (f"lora_unet_{place}_proj_{end}" for end in ("in", "out"))
    for block in range(depth):
        begins = f"lora_unet_{place}_transformer_blocks_{block}"
        yield from (f"{begins}_attn{n}_{name}" for n in (1, 2) for name in PROJECTIONS)
        yield from (f"{begins}_ff_net_0_proj", f"{begins}_ff_net_2")


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("lora_unet_input_blocks_1_0_in_layers_2", "unet.down_blocks.0.resnets.0.conv1"),
        ("lora_unet_input_blocks_4_0_skip_connection", "unet.down_blocks.1.resnets.0.conv_shortcut"),
        ("lora_unet_input_blocks_3_0_op", "unet.down_blocks.0.downsamplers.0.conv"),
        ("lora_unet_output_blocks_2_2_conv", "unet.up_blocks.0.upsamplers.0.conv"),
        ("lora_unet_output_blocks_5_1_proj_out", "unet.up_blocks.1.attentions.2.proj_out"),
        ("lora_unet_middle_block_2_out_layers_3", "unet.mid_block.resnets.1.conv2"),
        ("lora_unet_label_emb_0_2", "unet.add_embedding.linear_2"),
        ("lora_te1_text_model_encoder_layers_11_mlp_fc2", "text_encoder.text_model.encoder.layers.11.mlp.fc2"),
        (
            "lora_te2_text_model_encoder_layers_31_self_attn_q_proj",
            "text_encoder_2.text_model.encoder.layers.31.self_attn.q_proj",
        ),
    ],
)
def test_names_of_sdxl_files(stored: str, name: str) -> None:
    assert names.from_kohya(stored) == name
    assert names.to_kohya(name, layouts.SDXL) == stored


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ("unet.mid_block.attentions.0.proj_in", "unet.mid_block.attentions.0.proj_in"),
        ("base_model.model.mid_block.attentions.0.proj_in", "unet.mid_block.attentions.0.proj_in"),
        ("base_model.model.unet.mid_block.attentions.0.proj_in", "unet.mid_block.attentions.0.proj_in"),
        ("diffusion_model.middle_block.1.proj_in", "unet.mid_block.attentions.0.proj_in"),
        (
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out",
            "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
        ),
        ("text_encoder.encoder.layers.0.mlp.fc1", "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
        ("text_model.encoder.layers.0.mlp.fc1", "text_encoder.text_model.encoder.layers.0.mlp.fc1"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"),
    ],
)
def test_dotted_names(stored: str, name: str) -> None:
    assert names.from_dotted(stored) == name


def test_names_of_other_models_are_not_taken_for_known_ones() -> None:
    assert names.from_kohya("lora_unet_double_blocks_0_img_attn_qkv") is None
    assert names.from_kohya("some_mid_block_attentions_0_proj_in") is None
    assert names.from_dotted("transformer.single_transformer_blocks.0.attn.to_q") is None
    assert names.from_dotted("unet.double_blocks.0.img_attn.qkv") is None
