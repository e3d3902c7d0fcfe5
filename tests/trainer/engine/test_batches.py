"""What is encoded, kept and put together to batches."""

import pathlib
from typing import Any

import pytest
import torch
from PIL import Image

from tests.trainer import tiny
from trainer.dataset.found import Picture
from trainer.dataset.plan import Item, epoch_batches
from trainer.dataset.scan import Scan, scan
from trainer.engine import batches, device
from trainer.engine.batches import frame
from trainer.engine.cache import Encoder
from trainer.families.base import Frame, family
from trainer.job.settings import Job


def supplied(job: Job) -> tuple[Scan, batches.Supply]:
    """The data set of `job`, encoded."""
    found = scan(job.dataset)
    assert found.ok, found.problems
    kind = family(job.model.family)
    parts = kind.load(job, device.pick(job.training))
    folder = pathlib.Path(job.output.folder) / batches.CACHE_FOLDER
    supplies, broken = batches.supply(
        job, found, Encoder(kind, parts), folder, lambda done, total: None, lambda done, total: None
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
        torch.equal(one["latent"], other["latent"])
        for number, one in enumerate(supplies.pictures.values())
        for other in list(supplies.pictures.values())[:number]
    )


@pytest.mark.parametrize(
    ("crop", "flip", "left"), [(0.0, False, 0), (0.5, False, 16), (1.0, False, 32), (0.0, True, 32), (1.0, True, 0)]
)
def test_a_frame_is_what_is_cut_out_of_the_scaled_picture(crop: float, flip: bool, left: int) -> None:
    """192 × 128 is scaled to 96 × 64 and cut to 64 × 64; a mirrored picture is cut on its other side."""
    item = Item(Picture(pathlib.Path("a.png"), 192, 128, ""), (64, 64), "", flip, crop)
    assert frame(item) == Frame((192, 128), (left, 0), (64, 64))


@pytest.mark.parametrize("kind", ["alpha", "folder"])
def test_a_mask_is_cut_and_mirrored_as_its_picture(tmp_path: pathlib.Path, tiny_model: pathlib.Path, kind: str) -> None:
    """The left half of 96 × 64 is learned; in a square of 64, encoded to 32, that is its left 24 or its left 8."""
    wide_picture(tmp_path)
    half = Image.new("L", (96, 64), 0)
    half.paste(255, (0, 0, 48, 64))
    if kind == "folder":
        (tmp_path / "masks").mkdir()
        half.save(tmp_path / "masks" / "a.png")
    else:
        path = tmp_path / "data" / "1_x" / "a.png"
        whole = Image.open(path)
        whole.putalpha(half)
        whole.save(path)
    settings = {"masked_loss": kind, "mask_folder": str(tmp_path / "masks"), "random_crop": True, "flip": True}
    _, supplies = supplied(job_on(tmp_path, tiny_model, buckets=False, **settings))
    found = {(crop, flip): mask for (_, _, flip, crop), mask in supplies.masks.items()}
    assert len(found) == len(supplies.masks) == 10
    columns = torch.arange(32).expand(1, 32, 32)
    assert torch.equal(found[0.0, False], (columns < 24).float())
    assert torch.equal(found[1.0, False], (columns < 8).float())
    assert torch.equal(found[0.5, True], (columns >= 16).float())


def test_a_picture_without_a_mask_counts_as_a_whole_beside_one_with(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    tiny.pictures(tmp_path / "data", 2)
    (tmp_path / "masks" / "2_thing").mkdir(parents=True)
    Image.new("L", (8, 8), 51).save(tmp_path / "masks" / "2_thing" / "1.jpg")
    job = job_on(tmp_path, tiny_model, masked_loss="folder", mask_folder=str(tmp_path / "masks"))
    found, supplies = supplied(job)
    for items in epoch_batches(found, job, 1):
        batch = supplies.batch(items)
        means = {"0.png": 1.0, "1.png": 0.2}
        expected = [means[item.picture.path.name] for item in items]
        if expected == [1.0] * len(items):
            assert batch.masks is None
        else:
            assert batch.masks is not None
            assert batch.masks.mean(dim=(1, 2, 3)).tolist() == pytest.approx(expected, abs=0.005)
    assert supplied(job_on(tmp_path, tiny_model))[1].masks == {}


def test_regularisation_pictures_count_by_their_weight(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    tiny.pictures(tmp_path / "data", 2)
    tiny.pictures(tmp_path / "reg", 2)
    folder = {"regularisation_folder": str(tmp_path / "reg")}
    job = tiny.job(tmp_path, tiny_model, {"dataset": {"folder": str(tmp_path / "data"), "resolution": 64, **folder}})
    job = job.model_copy(update={"training": job.training.model_copy(update={"prior_loss_weight": 0.25})})
    found, supplies = supplied(job)
    weights = []
    for items in epoch_batches(found, job, 1):
        batch, regular = supplies.batch(items), [item.regular for item in items]
        if any(regular):
            assert batch.weights is not None
            assert batch.weights.tolist() == [0.25 if other else 1.0 for other in regular]
        else:
            assert batch.weights is None
        weights += regular
    assert weights.count(True) == weights.count(False) == 4
