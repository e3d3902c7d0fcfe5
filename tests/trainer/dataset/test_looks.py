"""What was read of a file is read again when the file has changed, and only then."""

import os
import pathlib
import time

import pytest
from PIL import Image

from trainer.dataset import caption_files, pictures
from trainer.dataset.looks import SETTLED_S
from trainer.dataset.scan import read_ahead, scan
from trainer.job.settings import Dataset

PICTURES = 30
OLD_S = SETTLED_S + 5


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[pathlib.Path]:
    """The files that are read; the clock goes before, so that those just written count as settled."""
    found: list[pathlib.Path] = []
    real_size, real_lines, real_time = pictures._size, caption_files.lines_of, time.time
    monkeypatch.setattr(pictures, "_size", lambda path: found.append(path) or real_size(path))
    monkeypatch.setattr(caption_files, "lines_of", lambda path: found.append(path) or real_lines(path))
    monkeypatch.setattr(time, "time", lambda: real_time() + OLD_S)
    return found


@pytest.fixture
def data(tmp_path: pathlib.Path) -> Dataset:
    """A data set of many pictures with captions."""
    folder = tmp_path / "data" / "2_cat"
    folder.mkdir(parents=True)
    for number in range(PICTURES):
        Image.new("RGB", (64, 64)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"cat {number}", encoding="utf-8")
    return Dataset(folder=str(tmp_path / "data"))


def test_of_thousands_of_files_only_those_that_changed_are_read_again(data: Dataset, reads: list[pathlib.Path]) -> None:
    first = scan(data)
    assert len(reads) == 2 * PICTURES
    reads.clear()
    assert scan(data) == first
    assert scan(data.model_copy(update={"resolution": 512, "flip": True})) == first
    assert not reads
    caption, picture = (pathlib.Path(data.folder, "2_cat", name) for name in ("7.txt", "8.png"))
    caption.write_text("dog 7", encoding="utf-8")
    Image.new("RGB", (32, 48)).save(picture)
    (subset,) = scan(data).subsets
    assert sorted(reads) == sorted([caption, picture])
    assert [p.caption for p in subset.pictures][6:9] == ["cat 6", "dog 7", "cat 8"]
    assert (subset.pictures[8].width_px, subset.pictures[8].height_px) == (32, 48)


def test_what_has_only_just_changed_is_not_relied_on(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    caption = pathlib.Path(data.folder, "2_cat", "7.txt")
    for text in ("dog 7", "cow 7", "pig 7"):
        caption.write_text(text, encoding="utf-8")
        os.utime(caption, ns=(10**18, 10**18))
        assert scan(data).subsets[0].pictures[7].caption == text


def test_a_picture_that_could_not_be_read_is_tried_again(
    data: Dataset, reads: list[pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pictures._size

    def fails(path: pathlib.Path) -> pictures.Size:
        if path.name == "3.png":
            raise pictures.BrokenPicture(path, "the drive was asleep")
        return real(path)

    with monkeypatch.context() as asleep:
        asleep.setattr(pictures, "_size", fails)
        assert scan(data).pictures == PICTURES - 1
    assert scan(data).pictures == PICTURES


def test_a_folder_with_a_broken_picture_is_read_but_once_a_scan(data: Dataset, reads: list[pathlib.Path]) -> None:
    broken = pathlib.Path(data.folder, "2_cat", "3.png")
    broken.write_bytes(b"no picture")
    scan(data)
    assert reads.count(broken) == 1


def test_what_is_read_ahead_is_not_read_again(data: Dataset, reads: list[pathlib.Path]) -> None:
    count, ahead = read_ahead(data)
    pictures = list(ahead)
    assert (count, len(reads)) == (PICTURES, 2 * PICTURES)
    assert scan(data).subsets[0].pictures == tuple(pictures)
    assert len(reads) == 2 * PICTURES


def test_of_a_folder_that_cannot_be_read_nothing_is_read_ahead(tmp_path: pathlib.Path) -> None:
    count, ahead = read_ahead(Dataset(folder=str(tmp_path / "nowhere")))
    assert (count, list(ahead)) == (0, [])


def test_files_that_come_and_go_are_seen(data: Dataset, reads: list[pathlib.Path]) -> None:
    scan(data)
    folder = pathlib.Path(data.folder, "2_cat")
    (folder / "0.png").unlink()
    (folder / "1.txt").unlink()
    Image.new("RGB", (64, 64)).save(folder / "99.png")
    (subset,) = scan(data).subsets
    assert subset.pictures[0].path.name == "1.png"
    assert subset.pictures[0].caption == "cat"
    assert subset.pictures[-1].path.name == "99.png"
