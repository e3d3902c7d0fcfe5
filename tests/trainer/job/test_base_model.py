"""What a base model's name refers to: always an answer in a sentence, never an error, whatever lies there."""

import json
import pathlib
import struct

import pytest

from trainer.job.base_model import describe

KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"


def checkpoint(path: pathlib.Path, tensors: object) -> str:
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return str(path)


def tensor(*shape: object) -> dict[str, object]:
    return {"dtype": "F16", "shape": list(shape), "data_offsets": [0, 0]}


@pytest.mark.parametrize("base", ["~nobody-of-this-name/model.safetensors", "a" * 5000, "a\0b", "/a/b/c"])
def test_a_name_that_can_lead_nowhere_is_missing(base: str) -> None:
    assert describe(base, "sd15").kind == "missing"


def test_the_width_of_the_text_tells_the_family(tmp_path: pathlib.Path) -> None:
    base = checkpoint(tmp_path / "a.safetensors", {KEY: tensor(320, 1024)})
    assert describe(base, "sd2").problem == ""
    assert "change the family" in describe(base, "sd15").problem


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ([], "download it again"),
        ({"a": 3}, "download it again"),
        ({KEY: {"data_offsets": [0, 0]}}, "download it again"),
        ({KEY: {**tensor(), "shape": 3}}, "download it again"),
        ({KEY: tensor()}, "holds no Stable Diffusion model"),
    ],
)
def test_a_file_with_a_strange_header_is_refused(tmp_path: pathlib.Path, tensors: object, sentence: str) -> None:
    assert sentence in describe(checkpoint(tmp_path / "a.safetensors", tensors), "sd15").problem


@pytest.mark.parametrize("config", ["[]", "{", "[" * 100_000])
def test_a_folder_with_a_strange_config_is_no_diffusers_model(tmp_path: pathlib.Path, config: str) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text(config, encoding="utf-8")
    assert "no diffusers model" in describe(str(tmp_path), "sd15").problem


def test_a_config_with_a_width_for_each_level_is_left_to_the_library(tmp_path: pathlib.Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "config.json").write_text('{"cross_attention_dim": [768, 768]}', encoding="utf-8")
    assert describe(str(tmp_path), "sd15").problem == ""


def test_a_file_that_may_not_be_read_says_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = checkpoint(tmp_path / "a.safetensors", {})

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert "cannot be read: Permission denied" in describe(base, "sd15").problem
