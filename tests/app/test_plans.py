"""What the page shows of a data set of many pictures."""

import json
import pathlib

import pytest

from app import plans, readings, thumbs
from tests.trainer.dataset.made import pictures
from trainer.job.settings import Dataset

FIRST = 4


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A data set of two folders with more pictures than are shown at first, read before."""
    pictures(tmp_path / "1_cat", 3)
    pictures(tmp_path / "2_dog", 3)
    assert readings.reading(Dataset(folder=str(tmp_path))).is_whole(30)
    monkeypatch.setattr(readings, "FIRST_PICTURES", FIRST)
    return tmp_path


def test_the_first_pictures_come_at_once_and_the_others_when_they_are_asked_for(folder: pathlib.Path) -> None:
    grid = json.loads(plans.view({"dataset.folder": str(folder)})[1])
    rest = json.loads(plans.further_pictures(grid["ask"]))
    tiles = [*grid["pictures"], *rest["pictures"]]
    shown = [f"{view['folders'][p['folder']]}/{p['name']}" for view in (grid, rest) for p in view["pictures"]]
    assert (grid["count"], len(grid["pictures"])) == (6, FIRST)
    assert all(thumbs.is_shown(path, tile["key"]) for path, tile in zip(shown, tiles, strict=True))
    assert shown == [f"{folder}/{name}/{number}.png" for name in ("1_cat", "2_dog") for number in (1, 2, 3)]


def test_the_page_may_have_captions_of_the_ending_that_was_set_and_of_no_other(folder: pathlib.Path) -> None:
    grid = json.loads(plans.view({"dataset.folder": str(folder), "dataset.caption_extension": ".tags"})[1])
    for view in (grid, json.loads(plans.further_pictures(grid["ask"]))):
        tile = view["pictures"][0]
        path = f"{view['folders'][tile['folder']]}/{tile['name']}"
        assert [ending for ending in ("", ".txt", ".tags") if thumbs.is_shown(path, tile["key"], ending)] == [".tags"]


def test_a_change_of_any_picture_or_caption_is_told_by_the_version(folder: pathlib.Path) -> None:
    def version() -> str:
        told: str = json.loads(plans.view({"dataset.folder": str(folder), "dataset.trigger": "x"})[1])["version"]
        return told

    first = version()
    assert version() == first
    (folder / "2_dog" / "3.txt").write_text("another dog", encoding="utf-8")
    second = version()
    assert second != first
    (folder / "2_dog" / "2.png").write_bytes((folder / "2_dog" / "1.png").read_bytes())
    assert version() != second


@pytest.mark.parametrize("asked", [{}, {"folder": 3}, {"folder": "/no/where"}, {"caption_extension": "../x"}])
def test_of_what_cannot_be_there_no_further_pictures_are_given(asked: dict[str, object]) -> None:
    assert json.loads(plans.further_pictures(asked))["pictures"] == []
