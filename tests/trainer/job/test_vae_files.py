"""Which VAE can be used, told in a sentence and without loading it."""

import pathlib

import pytest

from tests.trainer.job import checkpoints
from trainer.job.vae_files import problem


@pytest.mark.parametrize("name", ["", "user/vae", "user/vae/a.safetensors", "https://huggingface.co/user/vae"])
def test_none_and_a_hub_id_may_be_anything(name: str) -> None:
    assert problem(name) == ""


@pytest.mark.parametrize("tensor", ["decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight"])
def test_a_file_holds_a_decoder(tmp_path: pathlib.Path, tensor: str) -> None:
    assert problem(str(checkpoints.write(tmp_path / "vae.safetensors", {tensor: (2, 4, 3, 3)}))) == ""


@pytest.mark.parametrize("inside", ["", "vae"])
def test_a_folder_holds_a_config(tmp_path: pathlib.Path, inside: str) -> None:
    assert "holds no VAE" in problem(str(tmp_path))
    (tmp_path / inside).mkdir(exist_ok=True)
    (tmp_path / inside / "config.json").write_text("{}", encoding="utf-8")
    assert problem(str(tmp_path)) == ""


def test_what_is_no_vae_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty.safetensors").write_bytes(b"")
    other = checkpoints.write(tmp_path / "other.safetensors", {"decoder.other": (2,)})
    assert "holds no VAE" in problem(str(other))
    assert "is empty" in problem(str(tmp_path / "empty.safetensors"))
    for name in (str(tmp_path / "none.safetensors"), "tests/trainer/file.safetensors", "nowhere"):
        assert "check the path" in problem(name)
