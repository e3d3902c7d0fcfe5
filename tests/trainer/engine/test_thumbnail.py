"""The picture that a file carries of what it has learned."""

import base64
import io
import pathlib

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from tests.trainer import tiny
from trainer.engine import loop
from trainer.engine.loop import train
from trainer.engine.thumbnail import data_url, thumbnail
from trainer.job.settings import Job
from trainer.run import folder
from trainer.run.events import Warned
from trainer.run.folder import RunFolder


def opened(url: str) -> Image.Image:
    head, _, data = url.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def in_file(path: pathlib.Path) -> str:
    with safe_open(path, "pt") as file:
        return file.metadata().get("modelspec.thumbnail", "")


def ready(tmp_path: pathlib.Path, model: pathlib.Path, **output: object) -> tuple[Job, RunFolder]:
    job = tiny.job(tmp_path, model, {"samples": {"prompts": ["a red thing"]}, "output": {"thumbnail": True, **output}})
    return job, folder.create(tmp_path / "out", "tiny")


def test_a_large_picture_of_noise_is_still_small_in_the_file(tmp_path: pathlib.Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1024, 768, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    url = data_url(tmp_path / "noise.png")
    assert opened(url).size == (192, 256)
    assert len(url) < 41_000


def test_each_file_shows_the_sample_of_its_own_epoch(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = ready(tmp_path, tiny_model)
    train(job, run, lambda event: None)
    for epoch, file in ((1, "tiny-000001"), (2, "tiny")):
        url = in_file(run.weights / f"{file}.safetensors")
        assert url == data_url(run.samples / f"tiny_e000{epoch}_p01_s42.png")
        assert opened(url).size == (32, 32)


def test_a_file_is_written_although_its_sample_cannot_be_drawn(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, run = ready(tmp_path, tiny_model)
    draw = loop.draw_samples

    def failing(*given: object) -> None:
        if list(run.samples.iterdir()):
            raise RuntimeError("out of memory")
        draw(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "draw_samples", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(job, run, lambda event: None)
    assert in_file(run.weights / "tiny-000001.safetensors") == ""


def test_the_baseline_and_a_damaged_sample_are_never_shown(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = ready(tmp_path, tiny_model)
    path = run.sample_file("tiny", 0, 1, 42)
    Image.new("RGB", (8, 8)).save(path)
    told: list[Warned] = []
    assert (thumbnail(job, run, told.append), told) == ("", [])
    run.sample_file("tiny", 1, 1, 42).write_bytes(path.read_bytes()[:40])
    assert thumbnail(job, run, told.append) == ""
    assert [event.text.partition(":")[0] for event in told] == [
        "A file is saved without a thumbnail, because the sample for it cannot be read"
    ]


def test_a_file_saved_after_some_steps_shows_the_sample_of_that_step(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    samples = {"prompts": ["a red thing"], "every_epochs": 0, "every_steps": 2}
    output = {"thumbnail": True, "save_every_epochs": 0, "save_every_steps": 2}
    job = tiny.job(tmp_path, tiny_model, {"samples": samples, "output": output})
    run = folder.create(tmp_path / "out", "tiny")
    train(job, run, lambda event: None)
    (saved,) = run.weights.glob("*step*02.safetensors")
    (drawn,) = run.samples.glob("*step*02_p01_s42.png")
    assert in_file(saved) == data_url(drawn)


def test_without_the_wish_no_file_has_one(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job, run = ready(tmp_path, tiny_model, thumbnail=False)
    train(job, run, lambda event: None)
    assert in_file(run.weights / "tiny.safetensors") == ""
