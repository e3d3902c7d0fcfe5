"""From Kohya's format to PEFT's and back: the same changes, alphas and words."""

import pathlib

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.formats import made
from tests.trainer.tools.call import refused, trainer
from trainer.formats import kohya, layouts
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora

METADATA = {"ss_output_name": "cat", "ss_tag_frequency": "{}", "modelspec.trigger_phrase": "mikan cat"}


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    kohya.write(tmp_path / "a.safetensors", made.sd15(alpha=0.3), "fp32", METADATA)
    return tmp_path / "a.safetensors"


def test_there_and_back_is_the_same(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = source.with_name("b.safetensors"), source.with_name("c.safetensors")
    done = trainer(capsys, "convert", source, there)
    assert (done.status, done.errors) == (0, "")
    assert "lora_adapter_metadata" in done.output
    assert trainer(capsys, "convert", there, back).status == 0
    files = [open_lora(path) for path in (source, there, back)]
    assert [file.format for file in files] == ["kohya", "peft", "kohya"]
    for file in files[1:]:
        assert made.largest_error(file.layers, files[0].layers) == 0
        assert {name: one.alpha for name, one in file.layers.items()} == dict.fromkeys(
            file.layers, torch.tensor(0.3).item()
        )
        assert METADATA.items() <= file.metadata.items()
    assert load_file(back).keys() == load_file(source).keys()
    assert files[2].metadata == files[0].metadata


def test_the_tensors_of_a_peft_file_have_its_names(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = source.with_name("b.safetensors")
    trainer(capsys, "convert", source, there)
    assert {f"{made.TO_K}.lora_A.weight", f"{made.TO_K}.lora_B.weight"} <= load_file(there).keys()
    assert "sshs_model_hash" not in open_lora(there).metadata


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp32"])
@pytest.mark.parametrize("to", ["kohya", "peft"])
def test_precision_is_that_asked_for(
    source: pathlib.Path, capsys: pytest.CaptureFixture[str], precision: str, to: str
) -> None:
    out = source.with_name("b.safetensors")
    assert trainer(capsys, "convert", source, out, "--to", to, "--precision", precision).status == 0
    assert open_lora(out).precision == kohya.DTYPES[precision]
    limit = {"fp16": 1e-3, "bf16": 1e-2, "fp32": 1e-7}[precision]
    assert made.largest_error(open_lora(out).layers, open_lora(source).layers) < limit


def test_a_missing_alpha_is_written_as_the_rank(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = kohya.named(
        {"lora_te_text_model_encoder_layers_0_mlp_fc1": made.sd15(alpha=None)[made.FC1]}, torch.float16
    )
    source, out = made.file(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors"
    assert trainer(capsys, "convert", source, out, "--to", "kohya").status == 0
    assert open_lora(source).layers[made.FC1].alpha is None
    assert open_lora(out).layers[made.FC1].alpha == 4
    assert made.largest_error(open_lora(out).layers, open_lora(source).layers) == 0


def test_names_of_sdxl_become_those_that_all_programs_read(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k"
    layers = {name: made.lora(name, 8, (2048,), 2, 1.0)}
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kohya.write(source, layers, "fp32", {}, layouts.SD15)
    assert trainer(capsys, "convert", source, out, "--to", "kohya").status == 0
    stored = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"
    assert list(open_lora(out).stored.values()) == [stored]
    assert made.largest_error(open_lora(out).layers, layers) == 0


def loha() -> LoraLayer:
    return made.layer(made.FC1, {f"hada_w{n}_{side}": made.random(4, 4) for n in (1, 2) for side in "ab"}, 1.0)


def test_what_diffusers_cannot_read_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kohya.write(source, {made.FC1: loha()}, "fp32", {})
    assert "reads only plain LoRA" in refused(capsys, out, "convert", source, out)
    assert trainer(capsys, "convert", source, out, "--to", "kohya", "--precision", "fp16").status == 0
    assert open_lora(out).kinds == ("loha",)


def test_names_of_an_unknown_model_are_not_guessed(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    tensors = kohya.named({name: made.lora(name, 8, (8,), 2, 1.0)}, torch.float32)
    source, out = made.file(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors"
    assert "unknown kind of model" in refused(capsys, out, "convert", source, out)
    assert trainer(capsys, "convert", source, out, "--to", "kohya").status == 0
    assert load_file(out).keys() == tensors.keys()
