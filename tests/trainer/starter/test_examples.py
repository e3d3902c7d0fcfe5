"""The example data sets are complete and can be remade."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer import starter
from trainer.starter.examples import PICTURES, DataSet, data_sets, write
from trainer.starter.world import BACKGROUNDS, TRIGGER

HOME = Path(starter.__path__[0])


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture, int)


@pytest.mark.parametrize("data_set", data_sets(), ids=lambda data_set: data_set.stem)
def test_an_example_is_complete(data_set: DataSet) -> None:
    pictures = sorted((HOME / data_set.folder).glob("*.png"))
    assert len(pictures) == PICTURES == len({picture.read_bytes() for picture in pictures})
    for picture in pictures:
        assert pixels(picture).shape == (128, 128, 3)
        said = picture.with_suffix(".txt").read_text(encoding="utf-8").strip()
        assert TRIGGER in said if data_set.stem == "robot" else said.endswith(", chalk style")


@pytest.mark.parametrize("data_set", data_sets(), ids=lambda data_set: data_set.stem)
def test_an_example_can_be_remade(data_set: DataSet, tmp_path: Path) -> None:
    remade = write(data_set, tmp_path)
    for file in remade.iterdir():
        there = HOME / data_set.folder / file.name
        if file.suffix == ".png":
            # Pillow's releases differ by a shade at the edges of shapes.
            assert np.abs(pixels(file) - pixels(there)).mean() < 1
        else:
            assert file.read_text(encoding="utf-8") == there.read_text(encoding="utf-8")


def test_the_robot_is_shown_on_every_background() -> None:
    robots = data_sets()[0]
    assert {scene.background for scene in robots.scenes} == set(BACKGROUNDS)
