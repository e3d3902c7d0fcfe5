"""Regularisation pictures: how often each is shown, with which words, and that every count includes them."""

import pathlib
from typing import Any

import pytest

from tests.trainer.dataset.made import errors, only, pictures
from trainer.check import plan_lines
from trainer.dataset.plan import epoch_batches, make_plan
from trainer.dataset.regularisation import repeats
from trainer.dataset.scan import Picture, Subset, scan
from trainer.job.settings import Job


def subset(times: int, count: int) -> Subset:
    """A folder of `count` pictures without files."""
    folder = pathlib.Path(f"{times}_dog")
    return Subset(
        folder, folder.name, times, "dog", tuple(Picture(folder / f"{n}.png", 8, 8, "") for n in range(count))
    )


@pytest.mark.parametrize(
    ("subsets", "shown", "expected"),
    [
        ([], 10, []),
        ([subset(1, 3)], 3, [1, 1, 1]),
        # 3 are 7 too few: each twice more, the first once more
        ([subset(1, 3)], 10, [4, 3, 3]),
        # 5 and 5 are enough for 7: the third is not used
        ([subset(5, 3)], 7, [5, 5, 0]),
        ([subset(5, 3)], 10, [5, 5, 0]),
        ([subset(5, 3)], 11, [5, 5, 5]),
        # 2 + 2 + 3 = 7 is 2 too few
        ([subset(2, 2), subset(3, 1)], 9, [3, 3, 3]),
        ([subset(2, 2)], 0, [0, 0]),
    ],
)
def test_as_many_are_shown_as_kohyas_scripts_show(subsets: list[Subset], shown: int, expected: list[int]) -> None:
    assert [times for _, times in repeats(subsets, shown)] == expected


@pytest.fixture
def job(tmp_path: pathlib.Path) -> Job:
    """6 pictures shown 3 times each, and 4 regularisation pictures, one of them wide."""
    pictures(tmp_path / "own" / "3_cat", 6, (64, 64))
    pictures(tmp_path / "reg" / "1_dog", 3, (64, 64))
    pictures(tmp_path / "reg" / "2_wolf", 1, (128, 64))
    folders = {"folder": str(tmp_path / "own"), "regularisation_folder": str(tmp_path / "reg")}
    return Job.model_validate(
        {
            "dataset": {**folders, "resolution": 64, "bucket_min_px": 64, "trigger": "sks"},
            "training": {"batch_size": 4, "epochs": 2},
        }
    )


def test_the_plan_counts_what_an_epoch_shows(job: Job) -> None:
    """18 of the cat and as many others: 1, 1, 1 and 2 in the first round, 13 more in turn make 5, 4, 4 and 5."""
    found = scan(job.dataset)
    plan, batches = make_plan(job, found), epoch_batches(found, job, 1)
    others = [item for batch in batches for item in batch if item.regular]
    assert (plan.pictures, plan.repeated, plan.regularisation) == (6, 36, 18)
    names = [f"{item.picture.path.parent.name}/{item.picture.path.stem}" for item in others]
    assert {name: names.count(name) for name in names} == {"1_dog/1": 5, "1_dog/2": 4, "1_dog/3": 4, "2_wolf/1": 5}
    assert sum(row.repeated for row in plan.rows) == sum(map(len, batches)) == 36
    assert plan.batches_per_epoch == len(batches)
    assert plan.steps == 2 * len(batches)


def test_the_trigger_is_not_said_of_them(job: Job) -> None:
    items = [item for batch in epoch_batches(scan(job.dataset), job, 1) for item in batch]
    assert {(item.caption, item.regular) for item in items} == {("sks, a cat", False), ("a cat", True)}


def test_what_is_learned_is_shown_as_without_them(job: Job) -> None:
    alone = job.model_copy(
        update={"dataset": job.dataset.model_copy(update={"regularisation_folder": "", "flip": True})}
    )
    both = job.model_copy(update={"dataset": job.dataset.model_copy(update={"flip": True})})

    def own(given: Job) -> list[tuple[Any, ...]]:
        shown = [item for batch in epoch_batches(scan(given.dataset), given, 1) for item in batch if not item.regular]
        return sorted((item.picture.path, item.caption, item.flip) for item in shown)

    assert own(alone) == own(both)


def test_check_says_how_many_are_shown(job: Job) -> None:
    lines = [line.strip() for line in plan_lines(job)]
    assert "pictures: 6 · with repeats: 18 · folders: 1" in lines
    assert "regularisation pictures: 4 · shown in an epoch: 18" in lines


def test_what_is_wrong_with_their_folder_is_said_at_its_setting(job: Job, tmp_path: pathlib.Path) -> None:
    settings = job.dataset.model_copy(update={"regularisation_folder": str(tmp_path / "none")})
    found = scan(settings)
    assert only(errors(found), "There is no folder")
    assert [problem.setting for problem in found.problems] == ["dataset.regularisation_folder"]
    assert found.pictures == 6


def test_too_many_are_named(job: Job, tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "reg" / "1_more", 20, (64, 64))
    unused = [problem for problem in make_plan(job).problems if "not used" in problem.text]
    # 3 of 1_dog, 15 of 1_more make 18; 5 of 1_more and the wolf are left
    assert [(problem.setting, problem.text.rpartition(" ")[2]) for problem in unused] == [
        ("dataset.regularisation_folder", "6")
    ]
