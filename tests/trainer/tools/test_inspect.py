"""What is said of a file is what is in it."""

import base64
import io
import json
import pathlib

import pytest
import torch
from PIL import Image

from tests.trainer.formats import made
from tests.trainer.tools.call import trainer
from trainer.formats import kohya
from trainer.formats.stranger import open_lora
from trainer.tools.inspect import about, norms, thumbnail, top_tags

METADATA = {
    "ss_tag_frequency": json.dumps({"10_cat": {"mikan cat": 12, "window": 3}, "2_more": {"window": 10}}),
    "modelspec.trigger_phrase": "mikan cat",
    "ss_training_comment": "the orange one",
}


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    kohya.write(tmp_path / "cat.safetensors", made.sd15(), "fp16", METADATA)
    return tmp_path / "cat.safetensors"


def test_a_person_reads_what_it_is(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = trainer(capsys, "inspect", source)
    assert (done.status, done.errors) == (0, "")
    for text in (
        "family: Stable Diffusion 1.x · names: kohya · numbers: float16",
        "kind: LoCon (LoRA + convolutions) · rank (layers): 4 (3), 5 (1) · alpha (layers): 3 (4)",
        "layers: 4 (",
        "trigger words: mikan cat",
        "note: the orange one",
        "tags (pictures): window (13), mikan cat (12)",
        "ComfyUI: yes",
    ):
        assert text in done.output


def test_what_its_maker_says_of_it_is_shown(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (192, 256)).save(stream, "JPEG")
    about_it = {"title": "みかん", "author": "K", "license": "CC0", "usage_hint": "at 0.8", "tags": "cat, orange"}
    metadata = {f"modelspec.{name}": value for name, value in about_it.items()}
    metadata["modelspec.thumbnail"] = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
    kohya.write(tmp_path / "cat.safetensors", made.sd15(), "fp16", metadata)
    output = trainer(capsys, "inspect", tmp_path / "cat.safetensors").output
    for text in ("title: みかん", "author: K", "licence: CC0", "usage: at 0.8", "words to find it by: cat, orange"):
        assert text in output
    assert f"thumbnail: 192 × 256 px, {len(stream.getvalue()) / 1000:.1f} kB" in output


@pytest.mark.parametrize(
    "text", ["", "None", "data:image/jpeg;base64,", "data:image/png;base64,AAAA", "data:,é;base64,é"]
)
def test_a_damaged_thumbnail_is_none(text: str) -> None:
    assert thumbnail({"modelspec.thumbnail": text}) is None


def test_a_program_reads_the_same(source: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(trainer(capsys, "inspect", source, "--json").output)
    assert found == json.loads(json.dumps(about(open_lora(source))))
    assert (found["family"], found["kinds"], found["layers"]) == ("sd15", ["locon"], 4)
    assert found["parts"] == {"unet": 3, "text_encoder": 1}
    assert found["readers"][0] == {"program": "ComfyUI", "reads": "yes", "reason": ""}
    assert found["metadata"]["ss_training_comment"] == "the orange one"


def test_norms_are_those_of_the_changes_in_the_models_order(source: pathlib.Path) -> None:
    file = open_lora(source)
    found = norms(file)
    assert list(found) == ["text_encoder.layers.0", "unet.down_blocks.0", "unet.down_blocks.1"]
    both = [file.layers[name].delta().norm() for name in (made.TO_K, made.PROJ_IN)]
    assert found["unet.down_blocks.0"] == pytest.approx(float(torch.stack(both).norm()), rel=1e-5)
    assert found["unet.down_blocks.1"] == pytest.approx(float(file.layers[made.CONV].delta().norm()), rel=1e-5)


def test_the_longest_bar_of_the_picture_is_the_strongest_block(
    source: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = source.with_name("strength.png")
    assert str(out) in trainer(capsys, "inspect", source, "--picture", out).output
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        rows = [row for row in range(picture.height) if bar_px(picture, row)]
        lengths = [bar_px(picture, row) for row in rows if row - 1 not in rows]
    values = list(norms(open_lora(source)).values())
    assert len(lengths) == len(values)
    shares = [value / max(values) for value in values]
    assert [length / max(lengths) for length in lengths] == pytest.approx(shares, abs=0.01)


def bar_px(picture: Image.Image, row: int) -> int:
    """How many pixels of a row have a bar's colour."""
    pixels = [picture.getpixel((x, row)) for x in range(picture.width)]
    return sum(max(pixel) - min(pixel) > 60 for pixel in pixels if isinstance(pixel, tuple))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", '{"a": 5}', '{"a": {"b": "many"}}', '{"a": {"b": null}}', "[" * 100_000]
)
def test_damaged_tags_are_none(text: str) -> None:
    assert top_tags({"ss_tag_frequency": text}) == []


def test_a_lora_of_another_kind_of_model_is_shown_too(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    path = made.file(tmp_path / "a.safetensors", kohya.named({name: made.lora(name, 8, (8,), 2, 1.0)}, torch.float32))
    done = trainer(capsys, "inspect", path)
    assert done.status == 0
    assert "family: unknown" in done.output
    assert "layers with names of no known model: 1" in done.output
    assert "layers: 1 (lora_unet 1)" in done.output
    assert "read by: not known" in done.output
