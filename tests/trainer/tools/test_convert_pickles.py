"""A .ckpt becomes a .safetensors beside it, with the same weights, and is never overwritten nor run."""

import pathlib

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.formats.test_pickled import Acts
from tests.trainer.tools.call import refused, trainer


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    shared = torch.arange(12.0).reshape(3, 4)
    weights = {"a": shared, "b": shared.t(), "c": shared[1:], "n": torch.tensor(7), "h": torch.ones(2).bfloat16()}
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


def test_the_weights_are_the_same(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, before = source.with_suffix(".safetensors"), source.read_bytes()
    done = trainer(capsys, "convert", source, out)
    assert (done.status, done.errors) == (0, "")
    assert "no weights: 1 entries" in done.output
    assert "5/5 tensors" in done.output
    expected, found = torch.load(source)["state_dict"], load_file(out)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) and expected[name].dtype == found[name].dtype for name in found)
    assert source.read_bytes() == before


def test_numbers_are_rounded_on_request_and_counts_stay(
    source: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = source.with_name("half.safetensors")
    assert trainer(capsys, "convert", source, out, "--precision", "fp16").status == 0
    assert {name: tensor.dtype for name, tensor in load_file(out).items()} == {
        **dict.fromkeys("abch", torch.float16),
        "n": torch.int64,
    }


def test_nothing_is_overwritten_and_nothing_is_run(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, harm = source.with_name("model.safetensors"), source.with_name("harm")
    torch.save({"state_dict": Acts(harm)}, source)
    sentence = refused(capsys, out, "convert", source, out)
    assert "could run a program" in sentence
    assert not harm.exists()
    out.touch()
    assert "exists already" in refused(capsys, out, "convert", source, out)
