"""Several LoRAs as one or in a checkpoint: the sum of what they do, number by number."""

import json
import pathlib
import tracemalloc
from collections.abc import Mapping

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.trainer import ldm
from tests.trainer.formats import made
from tests.trainer.tools.call import refused, trainer
from trainer.formats import kohya, layouts
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import open_lora


def written(path: pathlib.Path, layers: Mapping[str, LoraLayer], family: str = "sd15", **metadata: str) -> pathlib.Path:
    kohya.write(path, layers, "fp32", metadata, layouts.layout(family))
    return path


@pytest.fixture
def two(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Two LoRAs of different ranks and alphas; the second lacks a layer."""
    one, other = made.sd15(rank=4, alpha=3.0), made.sd15(rank=2, alpha=0.3, seed=5)
    del other[made.PROJ_IN]
    tags = {"ss_tag_frequency": json.dumps({"10_cat": {"cat": 3}}), "modelspec.trigger_phrase": "mikan cat"}
    return written(tmp_path / "a.safetensors", one, **tags), written(tmp_path / "b.safetensors", other)


def total(*files: tuple[pathlib.Path, float]) -> dict[str, Tensor]:
    """The weighted sum of the changes of all files."""
    changes: dict[str, Tensor] = {}
    for path, weight in files:
        for name, layer in open_lora(path).layers.items():
            changes[name] = changes.get(name, torch.zeros(layer.shape)) + weight * layer.delta()
    return changes


@pytest.mark.parametrize("rank", [(), ("--rank", "exact")])
def test_exact_is_the_weighted_sum(
    two: tuple[pathlib.Path, pathlib.Path], capsys: pytest.CaptureFixture[str], rank: tuple[str, ...]
) -> None:
    out = two[0].with_name("out.safetensors")
    done = trainer(capsys, "merge", out, two[0], f"{two[1]}=-0.5", *rank)
    assert (done.status, done.errors) == (0, "")
    assert "4/4 layers" in done.output.splitlines()
    assert "exact" in done.output
    layers, expected = open_lora(out).layers, total((two[0], 1), (two[1], -0.5))
    assert layers.keys() == expected.keys()
    assert max(made.error(layers[name].delta(), expected[name]) for name in expected) < 1e-6
    assert [layers[name].rank for name in (made.TO_K, made.CONV, made.PROJ_IN)] == [6, 8, 4]


def test_a_rank_keeps_the_best_of_the_sum(
    two: tuple[pathlib.Path, pathlib.Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = two[0].with_name("out.safetensors")
    done = trainer(capsys, "merge", out, f"{two[0]}=0.7", f"{two[1]}=0.6", "--rank", "3")
    lost, energy = 0.0, 0.0
    layers = open_lora(out).layers
    for name, change in total((two[0], 0.7), (two[1], 0.6)).items():
        values = torch.linalg.svdvals(change.flatten(1).double()).square()
        difference = float((layers[name].delta() - change).square().sum())
        assert difference == pytest.approx(float(values[3:].sum()), rel=1e-3)
        assert layers[name].rank == 3
        lost, energy = lost + difference, energy + float(values.sum())
    assert f"{100 * (lost / energy) ** 0.5:.2g}"[:3] in done.output
    assert "% of the change is lost" in done.output


def test_loha_is_merged_at_a_rank_but_not_exactly(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    shapes = {"hada_w1_a": (64, 2), "hada_w1_b": (2, 48), "hada_w2_a": (64, 2), "hada_w2_b": (2, 48)}
    loha = made.layer(made.FC1, {kind: made.random(*shape) for kind, shape in shapes.items()}, 1.0)
    one = written(tmp_path / "a.safetensors", {made.FC1: loha})
    other = written(tmp_path / "b.safetensors", {made.FC1: made.sd15()[made.FC1]})
    out = tmp_path / "new.safetensors"
    assert "merge to a rank" in exact_refusal(capsys, out, one, other)
    assert trainer(capsys, "merge", out, one, other, "--rank", "8").status == 0
    assert made.error(open_lora(out).layers[made.FC1].delta(), total((one, 1), (other, 1))[made.FC1]) < 1e-5


def exact_refusal(capsys: pytest.CaptureFixture[str], out: pathlib.Path, *files: pathlib.Path) -> str:
    """The refusal of a merge that is found impossible on the way."""
    done = trainer(capsys, "merge", out, *files)
    assert done.status == 2
    assert not out.exists()
    return done.errors


def test_words_of_all_files_are_kept(
    two: tuple[pathlib.Path, pathlib.Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = two[0].with_name("out.safetensors")
    trainer(capsys, "merge", out, f"{two[0]}=0.5", two[1])
    metadata = open_lora(out).metadata
    assert json.loads(metadata["ss_tag_frequency"]) == {"10_cat": {"cat": 3}}
    assert metadata["modelspec.trigger_phrase"] == "mikan cat"
    assert metadata["modelspec.merged_from"] == "a.safetensors=0.5, b.safetensors=1"
    assert metadata["ss_base_model_version"] == "sd_v1"


def test_an_equals_sign_in_a_name_is_no_weight(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path / "a=b.safetensors", made.sd15())
    out = tmp_path / "out.safetensors"
    assert trainer(capsys, "merge", out, source).status == 0
    assert made.largest_error(open_lora(out).layers, open_lora(source).layers) < 1e-6
    assert "no number" in refused(
        capsys, out.with_name("new.safetensors"), "merge", out.with_name("new.safetensors"), f"{source}=nan"
    )


def test_files_that_do_not_belong_together_are_refused(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = written(tmp_path / "a.safetensors", made.sd15())
    sd2 = written(tmp_path / "b.safetensors", {made.TO_K: made.lora(made.TO_K, 32, (1024,), 4, 1.0)})
    wide = written(tmp_path / "c.safetensors", {made.FC1: made.lora(made.FC1, 64, (50,), 4, 1.0)})
    dora_layer = made.layer(made.FC1, {**made.sd15()[made.FC1].tensors, "dora_scale": torch.ones(64, 1)}, 1.0)
    dora = written(tmp_path / "d.safetensors", {made.FC1: dora_layer})
    out = tmp_path / "out.safetensors"
    families = refused(capsys, out, "merge", out, one, sd2)
    assert "Stable Diffusion 2.x" in families
    assert "Stable Diffusion 1.x" in families
    assert "choose files of one family" in families
    assert f"layer {made.FC1} is of different sizes" in refused(capsys, out, "merge", out, one, wide)
    assert "into a checkpoint instead" in refused(capsys, out, "merge", out, one, dora)


@pytest.fixture
def base(tmp_path: pathlib.Path) -> pathlib.Path:
    return ldm.write(tmp_path / "base.safetensors", *ldm.small_models())


def fitting(base: pathlib.Path) -> dict[str, LoraLayer]:
    """Layers for some of the checkpoint's weights, convolutions and the text encoder among them."""
    torch.manual_seed(3)
    text = "text_encoder.text_model.encoder.layers.1.self_attn.q_proj"
    conv = "unet.up_blocks.0.upsamplers.0.conv"
    flat = "unet.down_blocks.1.attentions.1.proj_in"  # a convolution of 1 × 1 in the checkpoint
    shapes = {text: (16, (16,)), conv: (16, (16, 3, 3)), flat: (8, (8,))}
    return {name: made.lora(name, out, inner, 2, 1.5) for name, (out, inner) in shapes.items()}


PLACES = {
    "text_encoder.text_model.encoder.layers.1.self_attn.q_proj": (
        "cond_stage_model.transformer.text_model.encoder.layers.1.self_attn.q_proj.weight"
    ),
    "unet.up_blocks.0.upsamplers.0.conv": "model.diffusion_model.output_blocks.2.1.conv.weight",
    "unet.down_blocks.1.attentions.1.proj_in": "model.diffusion_model.input_blocks.5.1.proj_in.weight",
}


def test_a_checkpoint_gets_the_weighted_changes_and_nothing_else_changes(
    tmp_path: pathlib.Path, base: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = fitting(base)
    one = written(tmp_path / "a.safetensors", layers)
    other = written(tmp_path / "b.safetensors", {name: layers[name] for name in list(layers)[:1]})
    out = tmp_path / "out.safetensors"
    done = trainer(capsys, "merge", out, f"{one}=0.8", f"{other}=-2", "--checkpoint", base)
    assert (done.status, done.errors) == (0, "")
    before, after = load_file(base), load_file(out)
    assert list(before) == list(after)
    for name, stored in PLACES.items():
        weight = 0.8 - 2 * (name in open_lora(other).layers)
        expected = before[stored] + weight * layers[name].delta().reshape(before[stored].shape)
        assert made.error(after[stored], expected) < 1e-6
        assert not after[stored].equal(before[stored])
    assert all(after[name].equal(before[name]) for name in before.keys() - PLACES.values())
    with safe_open(out, "pt") as file:
        assert file.metadata()["modelspec.merged_from"].startswith("base.safetensors, a.safetensors=0.8")


def test_a_dora_sets_the_norms_in_the_checkpoint(
    tmp_path: pathlib.Path, base: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, stored = next(iter(PLACES.items()))
    scale = torch.rand(16, 1) + 0.5
    layer = made.layer(name, {**fitting(base)[name].tensors, "dora_scale": scale}, 1.5)
    source, out = written(tmp_path / "a.safetensors", {name: layer}), tmp_path / "out.safetensors"
    assert trainer(capsys, "merge", out, source, "--checkpoint", base).status == 0
    assert torch.allclose(load_file(out)[stored].norm(dim=1, keepdim=True), scale, atol=1e-5)


def test_query_key_and_value_in_one_tensor_are_changed_by_rows(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    stored = "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight"
    fused, other = made.random(24, 8).half(), torch.ones(4, 1024, dtype=torch.float16)
    save_file({stored: fused, "model.diffusion_model.time_embed.0.weight": other}, tmp_path / "base.safetensors")
    name = "text_encoder.text_model.encoder.layers.0.self_attn.k_proj"
    layer = made.lora(name, 8, (8,), 2, 1.0)
    source, out = written(tmp_path / "a.safetensors", {name: layer}, "sd2"), tmp_path / "out.safetensors"
    assert trainer(capsys, "merge", out, source, "--checkpoint", tmp_path / "base.safetensors").status == 0
    after = load_file(out)[stored]
    assert after.dtype == torch.float16
    assert after[:8].equal(fused[:8])
    assert after[16:].equal(fused[16:])
    assert after[8:16].equal((fused[8:16].float() + layer.delta()).half())


def test_loras_for_another_checkpoint_are_refused(
    tmp_path: pathlib.Path, base: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    strange = "unet.down_blocks.7.resnets.0.conv1"
    missing = written(tmp_path / "a.safetensors", {strange: made.lora(strange, 8, (8, 3, 3), 2, 1.0)})
    assert strange in refused(capsys, out, "merge", out, missing, "--checkpoint", base)
    name = next(iter(PLACES))
    wide = written(tmp_path / "b.safetensors", {name: made.lora(name, 16, (20,), 2, 1.0)})
    assert "different sizes" in refused(capsys, out, "merge", out, wide, "--checkpoint", base)
    sd2 = written(tmp_path / "c.safetensors", {made.TO_K: made.lora(made.TO_K, 8, (1024,), 2, 1.0)})
    assert "Stable Diffusion 2.x" in refused(capsys, out, "merge", out, sd2, "--checkpoint", base)


def test_a_checkpoint_is_never_whole_in_memory(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    mib = 2**20
    tensors = {
        f"model.diffusion_model.input_blocks.{n}.1.transformer_blocks.0.ff.net.2.weight": torch.zeros(1024, 1024)
        for n in (1, 2, 4, 5)
    }
    save_file(tensors | {"cond_stage_model.transformer.text_model.x": torch.ones(1)}, tmp_path / "base.safetensors")
    name = "unet.down_blocks.0.attentions.1.transformer_blocks.0.ff.net.2"
    source = written(tmp_path / "a.safetensors", {name: made.lora(name, 1024, (1024,), 2, 1.0)})
    tracemalloc.start()
    done = trainer(capsys, "merge", tmp_path / "out.safetensors", source, "--checkpoint", tmp_path / "base.safetensors")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.status == 0
    assert 4 * mib < peak_bytes < 10 * mib  # one tensor, and the next while it takes its place; all are 16 MiB
