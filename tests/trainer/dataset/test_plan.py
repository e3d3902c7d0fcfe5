"""The counts that are shown are the batches that are yielded."""

import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.dataset.made import pictures
from trainer.dataset.plan import Item, Plan, epoch_batches, make_plan
from trainer.dataset.scan import Picture, Scan, Subset
from trainer.job.fields import nest
from trainer.job.settings import Job


def job(**values: Any) -> Job:
    """A job; `training__steps=3` sets training.steps."""
    return Job.model_validate(nest({path.replace("__", "."): value for path, value in values.items()}))


def of(*subsets: tuple[int, list[tuple[int, int]]]) -> Scan:
    """A scan of pictures of these sizes, without files."""
    made = []
    for number, (repeats, sizes) in enumerate(subsets):
        folder = pathlib.Path(f"{repeats}_s{number}")
        shown = tuple(Picture(folder / f"{i}.png", *size, f"tag {i}, b, c") for i, size in enumerate(sizes))
        made.append(Subset(folder, folder.name, repeats, "words", shown))
    return Scan(pathlib.Path("data"), tuple(made))


def key(batches: list[tuple[Item, ...]]) -> list[list[tuple[str, str, bool]]]:
    return [[(item.picture.path.as_posix(), item.caption, item.flip) for item in batch] for batch in batches]


def sentences(plan: Plan) -> str:
    return "\n".join(wrong.sentence for wrong in plan.problems)


MIXED = of((3, [(512, 512)] * 5 + [(800, 600)]), (2, [(600, 800)] * 4))
SUBSETS = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.tuples(st.integers(8, 1500), st.integers(8, 1500)), max_size=9)),
    max_size=4,
)


def test_a_plan_counts_pictures_buckets_batches_and_steps() -> None:
    plan = make_plan(job(training__batch_size=4, training__gradient_accumulation=2, training__epochs=3), MIXED)
    assert (plan.pictures, plan.repeated) == (10, 26)
    assert [(r.width_px, r.height_px, r.pictures, r.repeated) for r in plan.rows] == [
        (384, 512, 4, 8),
        (512, 384, 1, 3),
        (512, 512, 5, 15),
    ]
    assert (plan.batches_per_epoch, plan.steps_per_epoch, plan.epochs, plan.steps) == (2 + 1 + 4, 4, 3, 12)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 1), (26, 1), (27, 2), (260, 10)])
def test_a_length_in_steps_is_exact_and_epochs_round_up(steps: int, epochs: int) -> None:
    plan = make_plan(job(training__steps=steps), MIXED)
    assert (plan.steps_per_epoch, plan.epochs, plan.steps) == (26, epochs, steps)


@given(SUBSETS, st.integers(1, 9), st.integers(1, 4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_what_is_planned_is_what_is_yielded(subsets: list[Any], batch: int, accumulation: int, upscale: bool) -> None:
    given = job(training__batch_size=batch, training__gradient_accumulation=accumulation, dataset__upscale=upscale)
    scan = of(*subsets)
    plan, batches = make_plan(given, scan), epoch_batches(scan, given, 1)
    assert len(batches) == plan.batches_per_epoch
    assert -(-len(batches) // accumulation) == plan.steps_per_epoch
    assert sum(map(len, batches)) == plan.repeated == sum(row.repeated for row in plan.rows)
    assert all(len({item.bucket for item in batch}) == 1 for batch in batches)
    assert all(1 <= len(items) <= batch for items in batches)
    short = [items[0].bucket for items in batches if len(items) < batch]
    assert len(short) == len(set(short))


def test_each_picture_comes_as_often_as_its_folder_says() -> None:
    shown = [item.picture.path.as_posix() for batch in epoch_batches(MIXED, job(), 1) for item in batch]
    assert shown.count("3_s0/0.png") == 3
    assert shown.count("2_s1/3.png") == 2


def test_the_order_is_decided_by_seed_and_epoch_alone() -> None:
    one = key(epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True), 1))
    assert one == key(epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True), 1))
    assert one != key(epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True), 2))
    assert one != key(
        epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True, training__seed=1), 1)
    )


def test_the_order_does_not_depend_on_pythons_hash_seed() -> None:
    program = (
        "from tests.trainer.dataset.test_plan import MIXED, job, key\n"
        "from trainer.dataset.plan import epoch_batches\n"
        "print(key(epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True), 3)))"
    )
    said = []
    for seed in ("1", "2"):
        given = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run([sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True)
        said.append(ran.stdout)
    assert said[0] == said[1]
    expected = key(epoch_batches(MIXED, job(dataset__shuffle_captions=True, dataset__flip=True), 3))
    assert said[0].strip() == str(expected)


def test_mirroring_is_for_half_and_only_when_asked() -> None:
    scan = of((100, [(512, 512)] * 10))
    flips = [item.flip for batch in epoch_batches(scan, job(dataset__flip=True), 1) for item in batch]
    assert 400 < sum(flips) < 600
    assert not any(item.flip for batch in epoch_batches(scan, job(), 1) for item in batch)


def test_crops_are_spread_over_what_is_cut_off_and_only_when_asked() -> None:
    # 800 × 640 in a bucket of 512 × 384 is scaled to 512 × 410; 512 × 512 fits
    scan = of((200, [(800, 640), (512, 512)]))
    by_name: dict[str, list[float]] = {"0.png": [], "1.png": []}
    for batch in epoch_batches(scan, job(dataset__random_crop=True), 1):
        for item in batch:
            by_name[item.picture.path.name].append(item.crop)
    assert sorted(set(by_name["0.png"])) == [0, 0.25, 0.5, 0.75, 1]
    # 200 in five places: 40 ± 5.7 each
    assert all(15 < by_name["0.png"].count(place) < 65 for place in set(by_name["0.png"]))
    assert set(by_name["1.png"]) == {0.5}
    assert {item.crop for batch in epoch_batches(scan, job(), 1) for item in batch} == {0.5}


def test_the_trigger_is_in_every_caption() -> None:
    batches = epoch_batches(MIXED, job(dataset__trigger="sks"), 1)
    assert all(item.caption.startswith("sks, tag ") for batch in batches for item in batch)


def test_in_every_nth_epoch_nothing_is_said() -> None:
    settings = job(dataset__caption_dropout_every_epochs=3, dataset__trigger="sks")
    said = {epoch: {i.caption for b in epoch_batches(MIXED, settings, epoch) for i in b} for epoch in range(1, 7)}
    assert [epoch for epoch, captions in said.items() if captions == {""}] == [3, 6]
    assert not any("" in said[epoch] for epoch in (1, 2, 4, 5))


def test_a_folder_is_read_when_no_scan_is_given(tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "4_cat", 5, (128, 128))
    plan = make_plan(job(dataset__folder=str(tmp_path), dataset__resolution=128))
    assert (plan.pictures, plan.steps_per_epoch, plan.ok) == (5, 20, True)


def test_nothing_to_train_on_is_an_error_and_plans_nothing(tmp_path: pathlib.Path) -> None:
    plan = make_plan(job(dataset__folder=str(tmp_path), training__steps=10))
    assert (plan.ok, plan.rows, plan.epochs, plan.steps) == (False, (), 0, 0)
    assert len(plan.problems) == 1


@pytest.mark.parametrize(
    ("values", "sizes", "part", "setting"),
    [
        ({}, [(512, 512)] * 2, "very few pictures (2)", "dataset.folder"),
        ({"dataset__resolution": 500}, [(500, 500)] * 9, "trained at 448 px", "dataset.resolution"),
        ({"dataset__resolution": 128}, [(128, 128)] * 9, "squares", "dataset.bucket_min_px"),
        ({"dataset__resolution": 256, "model__base": "x/y"}, [(256, 256)] * 9, "far below", "dataset.resolution"),
        ({}, [(512, 512)] * 8 + [(100, 100)], "less than a quarter of the pixels", "dataset.resolution"),
        ({"dataset__buckets": False}, [(512, 512)] * 8 + [(2000, 500)], "cut away", "dataset.buckets"),
        ({"training__batch_size": 4}, [(512, 64 * n) for n in range(4, 13)], "not full", "training.batch_size"),
    ],
)
def test_what_does_not_suit_is_a_warning_at_its_setting(
    values: dict[str, Any], sizes: list[tuple[int, int]], part: str, setting: str
) -> None:
    plan = make_plan(job(**values), of((1, sizes)))
    assert plan.ok
    assert [w.setting for w in plan.problems if part in w.sentence] == [setting], sentences(plan)


def test_a_good_data_set_has_no_problems() -> None:
    assert make_plan(job(), of((10, [(800, 600), (600, 800), (512, 512)] * 5))).problems == ()


def test_a_caption_longer_than_the_text_encoder_reads_is_named(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "1_cat"
    folder.mkdir()
    for name, words in (("short", 37), ("long", 38)):
        Image.new("RGB", (64, 64)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(", ".join(["tag"] * words) + ",", encoding="utf-8")
    texts = [problem.text for problem in make_plan(job(dataset__folder=str(tmp_path))).problems]
    assert sum("long.png" in text and "75 tokens" in text for text in texts) == 1
    assert not any("short.png" in text and "75 tokens" in text for text in texts)
