"""What has changed in a data set is told from a few bytes of each picture."""

import json
import pathlib

from PIL import Image

from tests.trainer import tiny
from trainer.dataset.fingerprint import changes, fingerprint
from trainer.dataset.scan import scan
from trainer.job.settings import Dataset


def marks(folder: pathlib.Path) -> dict[str, list[str]]:
    return json.loads(json.dumps(fingerprint(scan(Dataset(folder=str(folder))))))  # type: ignore[no-any-return]


def test_a_data_set_that_was_only_moved_or_copied_is_the_same(tmp_path: pathlib.Path) -> None:
    before = marks(tiny.pictures(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    for path in (tmp_path / "there").rglob("*.png"):
        path.touch()
    assert changes(before, marks(tmp_path / "there")) == ""


def test_each_change_is_counted(tmp_path: pathlib.Path) -> None:
    before = marks(tiny.pictures(tmp_path))
    inside = tmp_path / "2_thing"
    (inside / "0.txt").write_text("another caption", encoding="utf-8")
    (inside / "1.png").unlink()
    Image.new("RGB", (64, 64), "white").save(inside / "6.png")
    Image.new("RGB", (64, 64), "white").save(inside / "7.png")
    with Image.open(inside / "2.png") as picture:
        picture.putpixel((32, 32), (1, 2, 3))
        picture.save(inside / "2.png")
    said = "2 pictures are new, 1 picture is gone, 1 picture is another one, 1 caption is another one"
    assert changes(before, marks(tmp_path)) == said
