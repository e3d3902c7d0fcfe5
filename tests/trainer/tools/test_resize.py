"""A smaller rank loses what it says it loses, and no more than it must."""

import pathlib
import re

import pytest
import torch

from tests.trainer.formats import made
from tests.trainer.tools.call import refused, trainer
from trainer.formats import kohya
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    kohya.write(tmp_path / "a.safetensors", made.sd15(rank=8), "fp32", {"ss_output_name": "cat"})
    return tmp_path / "a.safetensors"


def lost(one: pathlib.Path, other: pathlib.Path) -> float:
    """The relative error of all layers together, from the files."""
    layers, others = open_lora(one).layers, open_lora(other).layers
    assert layers.keys() == others.keys()
    differences = sum(float((layers[n].delta() - others[n].delta()).square().sum()) for n in others)
    return (differences / sum(float(layer.delta().square().sum()) for layer in others.values())) ** 0.5


def said(output: str) -> float:
    found = re.search(r"([\d.e+-]+) % of the change is lost", output)
    assert found
    return float(found[1]) / 100


@pytest.mark.parametrize("how", [("--rank", "3"), ("--keep", "0.8"), ("--rank", "8")])
def test_the_loss_is_what_is_said_and_the_smallest_possible(
    source: pathlib.Path, capsys: pytest.CaptureFixture[str], how: tuple[str, str]
) -> None:
    out = source.with_name("b.safetensors")
    done = trainer(capsys, "resize", source, out, *how)
    assert (done.status, done.errors) == (0, "")
    assert lost(out, source) == pytest.approx(said(done.output), rel=2e-2, abs=1e-6)
    best, energy = 0.0, 0.0
    for name, layer in open_lora(source).layers.items():
        values = torch.linalg.svdvals(layer.delta().flatten(1)).square()
        best += float(values[open_lora(out).layers[name].rank :].sum())
        energy += float(values.sum())
    assert lost(out, source) == pytest.approx((best / energy) ** 0.5, rel=1e-3, abs=1e-6)


def test_ranks_and_metadata_are_those_of_the_new_file(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.with_name("b.safetensors")
    done = trainer(capsys, "resize", source, out, "--rank", "3")
    assert {layer.rank for layer in open_lora(out).layers.values()} == {3}
    assert "4/4 layers" in done.output.splitlines()
    metadata = open_lora(out).metadata
    assert (metadata["ss_network_dim"], metadata["ss_output_name"]) == ("3", "cat")
    assert metadata["sshs_model_hash"] != open_lora(source).metadata["sshs_model_hash"]
    assert out.stat().st_size < source.stat().st_size


@pytest.mark.parametrize("share", ["0.5", "0.9", "0.999"])
def test_each_layer_keeps_its_share_and_not_a_rank_more(
    source: pathlib.Path, capsys: pytest.CaptureFixture[str], share: str
) -> None:
    out = source.with_name("b.safetensors")
    assert trainer(capsys, "resize", source, out, "--keep", share).status == 0
    for name, layer in open_lora(source).layers.items():
        values = torch.linalg.svdvals(layer.delta().flatten(1)).square()
        rank = open_lora(out).layers[name].rank or 0
        assert values[:rank].sum() / values.sum() >= float(share) - 1e-5
        assert values[: rank - 1].sum() / values.sum() < float(share)


def test_a_higher_rank_than_it_has_changes_nothing(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = source.with_name("b.safetensors")
    assert trainer(capsys, "resize", source, out, "--rank", "64").status == 0
    assert max(layer.rank or 0 for layer in open_lora(out).layers.values()) == 9
    assert made.largest_error(open_lora(out).layers, open_lora(source).layers) < 1e-5


def loha(name: str, columns: int) -> LoraLayer:
    shapes = {"hada_w1_a": (12, 2), "hada_w1_b": (2, columns), "hada_w2_a": (12, 2), "hada_w2_b": (2, columns)}
    return made.layer(name, {kind: made.random(*shape) for kind, shape in shapes.items()}, 1.0)


def test_loha_becomes_a_lora(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kohya.write(source, {made.FC1: loha(made.FC1, 10), made.CONV: loha(made.CONV, 90)}, "fp32", {})
    assert trainer(capsys, "resize", source, out, "--rank", "4").status == 0
    found = open_lora(out)
    assert found.kinds == ("locon",)
    assert found.layers[made.CONV].shape == (12, 10, 3, 3)
    assert made.largest_error(found.layers, open_lora(source).layers) < 1e-5  # two factors of rank 2 make rank 4


def test_dora_is_refused(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = made.sd15()[made.FC1]
    dora = made.layer(made.FC1, {**layer.tensors, "dora_scale": torch.ones(64, 1)}, 1.0)
    source, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    kohya.write(source, {made.FC1: dora}, "fp32", {})
    assert "is a DoRA" in refused(capsys, out, "resize", source, out, "--rank", "1")
