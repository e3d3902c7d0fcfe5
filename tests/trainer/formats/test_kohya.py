"""Kohya's key names, from the facts of the field at full size, and what is written in a file."""

import pathlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from trainer.adapters.base import Layer
from trainer.formats import kohya
from trainer.formats.hashes import model_hash


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
