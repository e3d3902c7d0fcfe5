"""One LoRA in every spelling of the field is read as the same layers, and what is none is refused."""

import json
import pathlib
from collections.abc import Callable, Mapping

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from tests.trainer.formats import bad, made
from tests.trainer.formats.made import TO_K
from trainer.formats import kohya, layouts
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job.trouble import Refused

PARTS = bad.BROKEN | bad.NO_LORA


@pytest.mark.parametrize(("content", "word"), PARTS.values(), ids=PARTS)
def test_what_is_no_whole_lora_is_refused(tmp_path: pathlib.Path, content: bytes, word: str) -> None:
    with pytest.raises(Refused) as caught:
        open_lora(bad.write(tmp_path, content))
    assert word in str(caught.value)


def opened(folder: pathlib.Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> LoraFile:
    return open_lora(made.file(folder / "a.safetensors", tensors, metadata))


def spelled(layers: Mapping[str, LoraLayer], name: Callable[[str], str], down: str, up: str) -> dict[str, Tensor]:
    """The layers with names of another kind, the scale in the up tensor since these kinds have no alpha."""
    tensors = {}
    for key, layer in layers.items():
        tensors[name(key) + down] = layer.tensors["lora_down"]
        tensors[name(key) + up] = layer.tensors["lora_up"] * layer.scale
    return tensors


def same(name: str) -> str:
    return name


def processor(name: str) -> str:
    """As in diffusers before 0.22: the attention's processor holds the LoRA, and to_out has no number."""
    before, _, last = name.removesuffix(".0").rpartition(".")
    return f"{before}.processor.{last}_lora"


SPELLINGS = {
    "PEFT": (same, ".lora_A.weight", ".lora_B.weight"),
    "PEFT with an adapter's name": (same, ".lora_A.default.weight", ".lora_B.default.weight"),
    "PEFT's wrapper": (lambda name: f"base_model.model.{name}", ".lora_A.weight", ".lora_B.weight"),
    "diffusers": (same, ".lora.down.weight", ".lora.up.weight"),
    "diffusers' text encoder": (same, ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    "down and up with dots": (same, ".lora_down.weight", ".lora_up.weight"),
}


@pytest.mark.parametrize(("name", "down", "up"), SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_gives_the_same_layers(
    tmp_path: pathlib.Path, name: Callable[[str], str], down: str, up: str
) -> None:
    layers = made.sd15()
    file = opened(tmp_path, spelled(layers, name, down, up))
    assert (file.format, file.family, file.kinds) == ("peft", "sd15", ("locon",))
    assert made.largest_error(file.layers, layers) < 1e-6
    assert {layer.alpha for layer in file.layers.values()} == {None}


def test_the_oldest_names_of_diffusers(tmp_path: pathlib.Path) -> None:
    out = TO_K.replace("to_k", "to_out.0")
    layers = {TO_K: made.lora(TO_K, 8, (768,), 2, None), out: made.lora(out, 8, (8,), 2, None)}
    file = opened(tmp_path, spelled(layers, processor, ".down.weight", ".up.weight"))
    assert made.largest_error(file.layers, layers) < 1e-6


def test_text_encoder_names_without_their_wrapper_are_understood(tmp_path: pathlib.Path) -> None:
    layers = {made.FC1: made.sd15()[made.FC1]}
    tensors = kohya.named({"lora_te_encoder_layers_0_mlp_fc1": layers[made.FC1]}, torch.float32)
    assert made.largest_error(opened(tmp_path, tensors).layers, layers) == 0


@pytest.mark.parametrize("layout", [layouts.SD15, layouts.SDXL], ids=lambda row: row.family)
def test_written_and_read_again_is_the_same(tmp_path: pathlib.Path, layout: layouts.Layout) -> None:
    layers = made.sd15(alpha=0.3)
    kohya.write(tmp_path / "a.safetensors", layers, "fp32", {}, layout)
    file = open_lora(tmp_path / "a.safetensors")
    assert made.largest_error(file.layers, layers) < 1e-6
    assert file.precision == torch.float32


@pytest.mark.parametrize(("precision", "limit"), [("fp16", 1e-3), ("bf16", 1e-2)])
def test_a_smaller_format_costs_its_rounding(tmp_path: pathlib.Path, precision: str, limit: float) -> None:
    layers = made.sd15(alpha=0.3)
    kohya.write(tmp_path / "a.safetensors", layers, precision, {})
    file = open_lora(tmp_path / "a.safetensors")
    assert 1e-5 < made.largest_error(file.layers, layers) < limit
    assert {layer.alpha for layer in file.layers.values()} == {torch.tensor(0.3).item()}


SETTINGS: dict[str, dict[str, object]] = {
    "one alpha": {"unet.r": 4, "unet.lora_alpha": 2},
    "an alpha of its own": {"unet.r": 8, "unet.lora_alpha": 9, "unet.alpha_pattern": {"attn2.to_k": 2}},
    "rank-stabilised": {"unet.r": 4, "unet.lora_alpha": 1, "unet.use_rslora": True},
    "without a component": {"r": 4, "lora_alpha": 2},
    "a choice of layers": {"unet.r": 8, "unet.lora_alpha": 9, "unet.alpha_pattern": {"to_q|to_k": 2}},
}
STRANGE: list[dict[str, object]] = [
    {"unet.lora_alpha": "strong"},
    {"unet.lora_alpha": [1]},
    {"unet.lora_alpha": 4, "unet.alpha_pattern": [1]},
    {"unet.lora_alpha": 4, "unet.alpha_pattern": {"(": 3}},
]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_alpha_is_found_in_the_metadata_of_diffusers(tmp_path: pathlib.Path, settings: dict[str, object]) -> None:
    layers = {TO_K: made.lora(TO_K, 8, (768,), 4, 2.0)}
    tensors = {f"{TO_K}.lora_A.weight": layers[TO_K].tensors["lora_down"]}
    tensors[f"{TO_K}.lora_B.weight"] = layers[TO_K].tensors["lora_up"]
    file = opened(tmp_path, tensors, {"lora_adapter_metadata": json.dumps(settings)})
    assert made.largest_error(file.layers, layers) < 1e-6


@pytest.mark.parametrize("settings", STRANGE, ids=str)
def test_metadata_of_diffusers_that_say_no_alpha_are_refused(
    tmp_path: pathlib.Path, settings: dict[str, object]
) -> None:
    tensors = {f"{TO_K}.lora_A.weight": torch.ones(2, 768), f"{TO_K}.lora_B.weight": torch.ones(8, 2)}
    with pytest.raises(Refused, match="lora_adapter_metadata"):
        opened(tmp_path, tensors, {"lora_adapter_metadata": json.dumps(settings)})


def test_a_magnitude_vector_is_dora(tmp_path: pathlib.Path) -> None:
    tensors = {f"{TO_K}.lora_A.weight": torch.ones(2, 768), f"{TO_K}.lora_B.weight": torch.ones(8, 2)}
    file = opened(tmp_path, {**tensors, f"{TO_K}.lora_magnitude_vector": torch.ones(8)})
    assert file.kinds == ("dora", "lora")
    assert file.layers[TO_K].tensors["dora_scale"].shape == (8, 1)


@pytest.mark.parametrize("decomposed", [False, True], ids=["lora", "dora"])
def test_a_folder_of_peft_changes_weights_as_peft_does(tmp_path: pathlib.Path, decomposed: bool) -> None:
    """Its alpha, 5 for a rank of 2, is in the file beside; its norms are of the outputs, [1, out, 1, 1] for kernels.

    Read without the one the change would be 2.5 times too small; with the other axis, as large as it is but another.
    """
    torch.manual_seed(0)
    block = nn.ModuleDict({"conv1": nn.Conv2d(6, 6, 3), "time_emb_proj": nn.Linear(5, 6)})
    model = nn.ModuleDict({"mid_block": nn.ModuleDict({"resnets": nn.ModuleList([block])})})
    before = {f"unet.mid_block.resnets.0.{name}": layer.weight.detach().clone() for name, layer in block.items()}
    config = LoraConfig(r=2, lora_alpha=5, target_modules=list(block), init_lora_weights=False, use_dora=decomposed)
    learned = get_peft_model(model, config)
    with torch.no_grad():
        for name, values in learned.named_parameters():
            values.mul_(torch.rand_like(values) + 0.5 if "magnitude" in name else 1)
    learned.save_pretrained(tmp_path)
    after = dict(learned.merge_and_unload().named_parameters())
    layers = open_lora(tmp_path / "adapter_model.safetensors").layers
    assert layers.keys() == before.keys()
    for name, weight in before.items():
        change = after[f"{name.removeprefix('unet.')}.weight"] - weight
        assert made.error(layers[name].changed(weight, 1.0) - weight, change) < 1e-5


def test_two_spellings_of_one_layer_are_refused(tmp_path: pathlib.Path) -> None:
    stored = ("lora_unet_down_blocks_1_resnets_0_conv1", "lora_unet_input_blocks_4_0_in_layers_2")
    names = {name: made.lora(made.CONV, 8, (8, 3, 3), 2, 1.0) for name in stored}
    with pytest.raises(Refused, match="twice"):
        opened(tmp_path, kohya.named(names, torch.float32))


@pytest.mark.parametrize(
    ("name", "shape", "metadata", "family"),
    [
        (TO_K, (768,), {}, "sd15"),
        (TO_K, (1024,), {}, "sd2"),
        ("unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_v", (2048,), {}, "sdxl"),
        (TO_K, (16,), {}, "unknown"),
        (TO_K, (16,), {"ss_base_model_version": "sd_v1"}, "sd15"),
        (TO_K, (16,), {"ss_base_model_version": "sd_v2_v"}, "sd2"),
        (TO_K, (16,), {"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        (TO_K, (16,), {"ss_base_model_version": "flux1"}, "unknown"),
        (TO_K, (16,), {"modelspec.architecture": "stable-diffusion-v2-512/lora"}, "sd2"),
        (TO_K, (768,), {"ss_base_model_version": "sdxl_base_v1-0"}, "sd15"),
        ("text_encoder_2.text_model.encoder.layers.0.mlp.fc1", (1280,), {}, "sdxl"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", (1024,), {}, "sd2"),
        ("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", (768,), {}, "unknown"),
        ("unet.down_blocks.0.attentions.0.proj_in", (320,), {}, "sd2"),
        ("unet.down_blocks.0.attentions.0.proj_in", (320, 1, 1), {}, "sd15"),
        ("unet.mid_block.attentions.0.transformer_blocks.9.attn1.to_q", (64,), {}, "unknown"),
        ("unet.mid_block.attentions.0.transformer_blocks.1.attn1.to_q", (64,), {}, "sdxl"),
    ],
)
def test_the_family_is_told_by_shapes_then_metadata(
    tmp_path: pathlib.Path, name: str, shape: tuple[int, ...], metadata: dict[str, str], family: str
) -> None:
    path = tmp_path / "a.safetensors"
    kohya.write(path, {name: made.lora(name, 8, shape, 2, 1.0)}, "fp32", metadata, layouts.SDXL)
    assert open_lora(path).family == family


def test_lora_of_another_kind_of_model_keeps_its_names(tmp_path: pathlib.Path) -> None:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    file = opened(tmp_path, kohya.named({name: made.lora(name, 8, (8,), 2, 1.0)}, torch.float32))
    assert (file.family, list(file.layers), file.unknown) == ("unknown", [name], (name,))
