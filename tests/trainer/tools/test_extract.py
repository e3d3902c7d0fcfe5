"""The difference of two checkpoints as a LoRA: what was put in is taken out again."""

import pathlib
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer import ldm
from tests.trainer.formats import made
from tests.trainer.tools.call import refused, trainer
from trainer.formats import kohya
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora

TEXT = "text_encoder.text_model.encoder.layers.0.mlp.fc2"
PROJ = "unet.mid_block.attentions.0.proj_in"
CONV = "unet.down_blocks.0.resnets.1.conv2"
SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {TEXT: (16, (32,)), PROJ: (16, (16, 1, 1)), CONV: (8, (8, 3, 3))}


@pytest.fixture
def base(tmp_path: pathlib.Path) -> pathlib.Path:
    return ldm.write(tmp_path / "base.safetensors", *ldm.small_models())


@pytest.fixture
def known() -> dict[str, LoraLayer]:
    """A LoRA of rank 3 in a text layer, a 1 × 1 and a 3 × 3 convolution."""
    torch.manual_seed(4)
    return {name: made.lora(name, out, inner, 3, 2.0) for name, (out, inner) in SHAPES.items()}


@pytest.fixture
def tuned(
    tmp_path: pathlib.Path, base: pathlib.Path, known: dict[str, LoraLayer], capsys: pytest.CaptureFixture[str]
) -> pathlib.Path:
    kohya.write(tmp_path / "known.safetensors", known, "fp32", {})
    out = tmp_path / "tuned.safetensors"
    assert trainer(capsys, "merge", out, tmp_path / "known.safetensors", "--checkpoint", base).status == 0
    return out


def test_a_difference_of_low_rank_is_recovered(
    tuned: pathlib.Path, base: pathlib.Path, known: dict[str, LoraLayer], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tuned.with_name("out.safetensors")
    words = ("--rank", "3", "--conv-rank", "4", "--precision", "fp32")
    done = trainer(capsys, "extract", tuned, base, out, *words)
    assert (done.status, done.errors) == (0, "")
    assert re.search(r"^(\d+)/\1 layers$", done.output, re.MULTILINE)
    file = open_lora(out)
    assert made.largest_error(file.layers, known) < 1e-5
    assert (file.family, file.kinds) == ("sd15", ("locon",))
    assert {name: layer.rank for name, layer in file.layers.items()} == {TEXT: 3, PROJ: 3, CONV: 4}
    assert (file.metadata["ss_network_dim"], file.metadata["ss_sd_model_name"]) == ("3", "base.safetensors")


def test_used_on_the_base_it_gives_the_tuned_one(
    tuned: pathlib.Path, base: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again = tuned.with_name("out.safetensors"), tuned.with_name("again.safetensors")
    trainer(capsys, "extract", tuned, base, out, "--rank", "3", "--conv-rank", "3", "--precision", "fp32")
    assert trainer(capsys, "merge", again, out, "--checkpoint", base).status == 0
    one, other = load_file(again), load_file(tuned)
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in other)


def test_convolutions_are_taken_only_when_asked_for(
    tuned: pathlib.Path, base: pathlib.Path, known: dict[str, LoraLayer], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tuned.with_name("out.safetensors")
    assert trainer(capsys, "extract", tuned, base, out, "--rank", "3").status == 0
    file = open_lora(out)
    assert file.precision == torch.float16
    assert made.largest_error(file.layers, {name: known[name] for name in (TEXT, PROJ)}) < 1e-3


def test_a_lower_rank_loses_what_is_said(
    tuned: pathlib.Path, base: pathlib.Path, known: dict[str, LoraLayer], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tuned.with_name("out.safetensors")
    done = trainer(capsys, "extract", tuned, base, out, "--rank", "1", "--precision", "fp32")
    found = open_lora(out).layers
    pairs = [(found[name].delta(), known[name].delta()) for name in (TEXT, PROJ)]
    lost = sum(float((one - other).square().sum()) for one, other in pairs)
    share = (lost / sum(float(other.square().sum()) for _, other in pairs)) ** 0.5
    said = re.search(r"([\d.e+-]+) % of the difference is lost", done.output)
    assert said
    assert float(said[1]) / 100 == pytest.approx(share, rel=1e-2)
    assert 0.1 < share < 0.9


def test_checkpoints_without_a_difference_are_refused(base: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = base.with_name("out.safetensors")
    done = trainer(capsys, "extract", base, base, out, "--rank", "4")
    assert done.status == 2
    assert "are alike" in done.errors
    assert not out.exists()


def test_checkpoints_of_different_kinds_are_refused(base: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, other = base.with_name("out.safetensors"), base.with_name("other.safetensors")
    tensors = load_file(base)
    name = "model.diffusion_model.middle_block.1.proj_in.weight"
    save_file({**tensors, name: torch.ones(16, 18, 1, 1)}, other)
    assert "different sizes" in refused(capsys, out, "extract", other, base, out, "--rank", "4")
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, other)
    assert "different sizes" in refused(capsys, out, "extract", other, base, out, "--rank", "4")
    open_clip = {"cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight": torch.ones(24, 8)}
    unet = {key: tensor for key, tensor in tensors.items() if key.startswith("model.")}
    save_file(unet | open_clip, other)
    assert "Stable Diffusion 2.x" in refused(capsys, out, "extract", other, base, out, "--rank", "4")
