"""A data set that is read for the first time: how far that is told, and what is shown meanwhile."""

import json
import pathlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app import plans, readings
from tests.trainer.dataset.made import pictures
from trainer.dataset import pictures as reading_of_pictures
from trainer.dataset.pictures import Size
from trainer.job.settings import Dataset

COUNT = 12


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A data set of a few pictures."""
    pictures(tmp_path / "3_cat", COUNT)
    return tmp_path


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Semaphore]:
    """A disk that gives a picture whenever this is released."""
    given, real = threading.Semaphore(0), reading_of_pictures._size

    def size(path: pathlib.Path) -> Size:
        given.acquire()
        return real(path)

    monkeypatch.setattr(reading_of_pictures, "_size", size)
    yield given
    given.release(10 * COUNT)
    for thread in threading.enumerate():
        if thread.name == "reading pictures":  # else it would go on in the next test
            thread.join(30)


def seen(folder: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page shows of the data set in `folder`."""
    overview, grid = plans.view({"dataset.folder": str(folder)})
    return json.loads(overview), json.loads(grid)


def wait_for(under_way: readings.Reading, read: int) -> None:
    """Until so many pictures have been read."""
    while under_way.read < read:
        assert not under_way.is_whole(0.01)


def wait_for_all(under_way: readings.Reading) -> None:
    """Until the data set is whole."""
    end = time.monotonic() + 30
    while not under_way.is_whole(0.01):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_first_pictures_come_with_the_first_answer(
    folder: pathlib.Path, slow: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_ENOUGH", 4)
    monkeypatch.setattr(readings, "_REST_S", 0.0)
    monkeypatch.setattr(plans, "WAIT_S", 600.0)
    slow.release(4)
    with ThreadPoolExecutor(1) as asking:
        overview, grid = asking.submit(seen, folder).result(timeout=30)
    assert (len(grid["pictures"]), overview["reading"]["count"]) == (4, COUNT)


def test_how_far_a_reading_is_and_its_first_pictures_are_shown(folder: pathlib.Path, slow: threading.Semaphore) -> None:
    overview, _ = seen(folder)
    assert overview["reading"]["read"] == 0
    slow.release(5)
    wait_for(readings.reading(Dataset(folder=str(folder))), 5)
    overview, grid = seen(folder)
    assert overview == {"reading": {"text": f"Reading pictures · 5 of {COUNT}", "read": 5, "count": COUNT}}
    assert [picture["name"] for picture in grid["pictures"]] == [f"{number}.png" for number in range(1, 6)]
    assert f"5 of {COUNT}" in plans.line({"dataset.folder": str(folder)})


def test_a_data_set_is_shown_whole_once_it_is_read(folder: pathlib.Path, slow: threading.Semaphore) -> None:
    seen(folder)
    slow.release(10 * COUNT)
    wait_for_all(readings.reading(Dataset(folder=str(folder))))
    overview, grid = seen(folder)
    assert overview["subsets"][0]["count"] == grid["count"] == COUNT
    assert "reading" not in grid


def test_what_nobody_asks_for_any_more_is_not_read_on_until_somebody_does(
    folder: pathlib.Path, slow: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_PATIENCE_S", -1.0)
    slow.release(10 * COUNT)
    under_way = readings.reading(Dataset(folder=str(folder)))
    assert not under_way.is_whole(0.1)
    assert 0 < under_way.read < COUNT
    monkeypatch.setattr(readings, "_PATIENCE_S", 60.0)
    wait_for_all(under_way)
    assert under_way.read == COUNT


def test_the_regularisation_folder_is_read_too_and_not_shown(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pictures(tmp_path / "others" / "1_dog", 4)
    settings = Dataset(folder=str(folder / "3_cat"), regularisation_folder=str(tmp_path / "others"))
    under_way = readings.reading(settings)
    wait_for_all(under_way)
    assert (under_way.read, under_way.count, len(under_way.first)) == (COUNT + 4, COUNT + 4, COUNT)
