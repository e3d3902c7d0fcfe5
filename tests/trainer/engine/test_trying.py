"""Pictures drawn with a finished file: the same as the training showed, at any weight."""

import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out
from trainer.engine.trying import Wish, draw
from trainer.job.trouble import Refused, Trouble
from trainer.run import folder
from trainer.run.folder import RunFolder

PROMPTS = ["a red thing", "a blue thing --d 7 --n green"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: pathlib.Path) -> RunFolder:
    """A run of one epoch that has learned much, LoCon and DoRA included."""
    changes: dict[str, Any] = {
        "adapter": {"type": "locon", "decompose": True, "rank": 4},
        "training": {"epochs": 1, "learning_rate": 0.05},
        "samples": {"prompts": PROMPTS, "steps": 2},
        "output": {"save_precision": "fp32"},
    }
    run, _ = carried_out(tiny.job(tmp_path_factory.mktemp("tried"), tiny_model, changes))
    folder.write_job(run, tiny.job(run.path.parents[1], tiny_model, changes), {})
    return run


def pixels(path: pathlib.Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def drawn(run: RunFolder, wish: Wish) -> list[str]:
    said: list[str] = []
    assert draw(run, wish, said.append).is_file()
    return said


def test_the_file_draws_what_the_training_showed(finished: RunFolder) -> None:
    drawn(finished, Wish(weights=(0, 1)))
    for number, seed in ((1, 42), (2, 7)):
        for weight, epoch, tolerance in (("0.00", 0, 0), ("1.00", 1, 2)):
            tried = pixels(finished.tries / f"tiny_w{weight}_p{number:02d}_s{seed}.png")
            sampled = pixels(finished.sample_file("tiny", epoch, number, seed))
            assert abs(tried - sampled).max() <= tolerance
    base, learned = (pixels(finished.tries / f"tiny_w{weight}_p01_s42.png") for weight in ("0.00", "1.00"))
    assert abs(base - learned).mean() > 2


def test_the_pictures_do_not_depend_on_what_was_drawn_before(finished: RunFolder) -> None:
    drawn(finished, Wish(weights=(0.5,)))
    alone = (finished.tries / "tiny_w0.50_p01_s42.png").read_bytes()
    drawn(finished, Wish(weights=(1.5, -1, 0.5)))
    assert (finished.tries / "tiny_w0.50_p01_s42.png").read_bytes() == alone


def test_another_prompt_and_another_file_can_be_tried(finished: RunFolder, tmp_path: pathlib.Path) -> None:
    elsewhere = tmp_path / "copy.safetensors"
    elsewhere.write_bytes((finished.weights / "tiny.safetensors").read_bytes())
    said = drawn(finished, Wish(str(elsewhere), (0.8,), ["a green thing --w 128 --h 64"]))
    path = finished.tries / "copy_w0.80_p01_s42.png"
    assert said[-1] == f"drawn: {path}"
    with Image.open(path) as picture:
        assert picture.size == (128, 64)
        assert picture.text["parameters"].startswith("a green thing <lora:copy:0.8>\n")  # type: ignore[attr-defined]


def test_what_cannot_be_drawn_is_said(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    run = folder.create(tmp_path, "new")
    folder.write_job(run, tiny.job(tmp_path, tiny_model, {"samples": {"prompts": []}}), {})
    with pytest.raises(Trouble, match="There is nothing to draw: new has no prompts"):
        drawn(run, Wish())
    with pytest.raises(Trouble, match="new has saved no LoRA file yet"):
        drawn(run, Wish(prompts=["a cat"]))
    with pytest.raises(Refused, match="does not exist: check the path"):
        drawn(run, Wish("none.safetensors", prompts=["a cat"]))
    model = tiny_model / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(Refused, match="is no LoRA, since no tensor in it has a LoRA's name"):
        drawn(run, Wish(str(model), prompts=["a cat"]))
