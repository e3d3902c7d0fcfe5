"""What a base model's name refers to: always an answer in a sentence, never an error, whatever lies there."""

import json
import pathlib
import time

import pytest

from tests.trainer.job import checkpoints
from trainer.job.base_model import describe


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The hub's cache is one of this test alone."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("base", ["~nobody-of-this-name/model.safetensors", "a" * 5000, "a\0b", "/a/b/c", "a/b/c"])
def test_a_name_that_can_lead_nowhere_is_missing(base: str) -> None:
    assert describe(base, "sd15").kind == "missing"


def test_a_file_is_told_by_its_header(tmp_path: pathlib.Path) -> None:
    base = str(checkpoints.write(tmp_path / "v2-1_768.safetensors", checkpoints.SD2, "F16"))
    found = describe(base, "sd2")
    assert (found.kind, found.problem, found.family, found.prediction) == ("file", "", "sd2", "v")
    assert found.text == "Stable Diffusion 2.x, v prediction (going by the file's name), fp16, 0.0 MB"
    assert "change the family" in describe(base, "sd15").problem
    assert describe(base, "").problem == ""


@pytest.mark.parametrize("size_bytes", [2 * 10**9, 69 * 10**8])
def test_a_large_file_is_told_at_once(tmp_path: pathlib.Path, size_bytes: int) -> None:
    path = checkpoints.write(tmp_path / "large.safetensors", checkpoints.many(2_500), "F16", size_bytes)
    begun = time.monotonic()
    found = describe(str(path), "sd15")
    assert time.monotonic() - begun < 1
    assert found.text.endswith(f"fp16, {size_bytes / 2**30:.1f} GB")
    assert found.problem == ""


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "claims"),
        (b"\x06\0\0\0\0\0\0\0[[[[[[", "no safetensors file"),
        (b"GGUF\x03\0\0\0\0\0\0\0", "is a GGUF file"),
        (b"PK\x03\x04" + bytes(99), "could run programs"),
        (b"\0\0\0\x80\0\0\0\0{}", "claims 2147483648 bytes"),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path: pathlib.Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert sentence in describe(str(tmp_path / "a.safetensors"), "sd15").problem


def test_a_file_of_another_kind_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    problem = describe(str(tmp_path / "model.zip"), "sd15").problem
    assert problem.endswith("model.zip is no .safetensors file: choose a .safetensors checkpoint.")


def test_a_pickle_is_told_how_to_become_a_model(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "old model.ckpt"
    path.write_bytes(b"PK\x03\x04" + bytes(99))
    problem = describe(str(path), "sd15").problem
    assert f'python -m trainer convert "{path}" "{path.with_suffix(".safetensors")}"' in problem


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
    path = checkpoints.write(tmp_path / "a.safetensors", checkpoints.SD15)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    assert "cannot be read: Permission denied" in describe(str(path), "sd15").problem


def test_a_hub_id_is_fetched_later_or_lies_in_the_cache(empty_cache: pathlib.Path) -> None:
    assert (describe("user/model", "sd15").path, describe("user/model", "sd15").problem) == (None, "")
    snapshot = empty_cache / "models--user--model" / "snapshots" / "c0ffee"
    checkpoints.write(snapshot / "model.safetensors", checkpoints.SDXL | {"v_pred": (0,), "ztsnr": (0,)}, "BF16")
    (empty_cache / "models--user--model" / "refs").mkdir()
    (empty_cache / "models--user--model" / "refs" / "main").write_text("c0ffee", encoding="utf-8")
    for base in ("user/model", "user/model/model.safetensors"):
        found = describe(base, "sd15")
        assert (found.kind, found.path, found.family) == ("hub", snapshot / "model.safetensors", "sdxl")
        assert found.text.startswith("On this machine already: ")
    assert describe("user/model/other.safetensors", "sd15").path is None


def test_a_path_of_a_file_that_is_not_there_is_no_hub_id(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "sd").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert describe("models/sd/none.safetensors", "sd15").kind == "missing"
    assert describe("models/none.safetensors", "sd15").kind == "missing"


def test_a_folder_is_told_by_its_configs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "scheduler").mkdir()
    schedule = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    (tmp_path / "unet" / "config.json").write_text('{"cross_attention_dim": 1024}', encoding="utf-8")
    (tmp_path / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule), encoding="utf-8")
    checkpoints.write(tmp_path / "unet" / "diffusion_pytorch_model.fp16.safetensors", {"a": (4,)}, "F16")
    found = describe(str(tmp_path), "sd2")
    assert found.text == "Diffusers folder: Stable Diffusion 2.x, v prediction, zero terminal SNR, fp16, 0.0 MB"
    assert (found.family, found.prediction, found.zero_terminal_snr, found.precision) == ("sd2", "v", True, "fp16")


def test_the_starter_is_of_its_own_family() -> None:
    assert (describe("starter", "sd15").problem, describe("starter", "").family) == ("", "sd15")
    assert "change the family" in describe("starter", "sdxl").problem
