"""What is encoded, kept and put together to batches."""

import pathlib
from typing import Any

import pytest
import torch
from PIL import Image

from tests.trainer import tiny
from trainer.dataset.plan import epoch_batches
from trainer.dataset.scan import Scan, scan
from trainer.engine import batches, device
from trainer.engine.cache import Encoder
from trainer.families.base import family
from trainer.job.settings import Job


def supplied(job: Job) -> tuple[Scan, batches.Supply]:
    """The data set of `job`, encoded."""
    found = scan(job.dataset)
    assert found.ok, found.problems
    kind = family(job.model.family)
    parts = kind.load(job, device.pick(job.training))
    supplies, broken = batches.supply(
        job, found, Encoder(kind, parts, parts.picture_encoder), lambda done, total: None, lambda done, total: None
    )
    assert not broken
    return found, supplies


def job_on(tmp_path: pathlib.Path, base: pathlib.Path, **dataset: Any) -> Job:
    return tiny.job(tmp_path, base, {"dataset": {"resolution": 64, **dataset}})


def wide_picture(tmp_path: pathlib.Path) -> None:
    """A data set of one picture, 96 × 64: black on the left, white on the right."""
    folder = tmp_path / "data" / "1_x"
    folder.mkdir(parents=True)
    picture = Image.new("RGB", (96, 64), "black")
    picture.paste("white", (48, 0, 96, 64))
    picture.save(folder / "a.png")
    (folder / "a.txt").write_text("a", encoding="utf-8")


@pytest.mark.parametrize("cache_to_disk", [True, False])
def test_everything_that_chance_may_show_is_encoded(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, cache_to_disk: bool
) -> None:
    wide_picture(tmp_path)
    job = job_on(tmp_path, tiny_model, random_crop=True, flip=True, buckets=False, cache_to_disk=cache_to_disk)
    for _ in range(2):  # the second time from the disk
        found, supplies = supplied(job)
        assert len(supplies.pictures) == 5 * 2
        for epoch in range(1, 30):
            for items in epoch_batches(found, job, epoch):
                supplies.batch(items)
    assert not any(
        torch.equal(one, other)
        for number, one in enumerate(supplies.pictures.values())
        for other in list(supplies.pictures.values())[:number]
    )
