"""Writes the example data sets: python -m trainer.starter.examples [--out DIR]

One teaches a character (the mecha robot), the other a style (chalk). Both can be remade from their seeds.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.starter.world import BACKGROUNDS, COLOURS, OBJECTS, PATTERNS, TRIGGER, Scene, caption, draw

PICTURES = 16


@dataclass(frozen=True)
class DataSet:
    """A folder of pictures in Kohya's manner (`repeats_name`) and the scenes that are drawn into it."""

    folder: str
    stem: str
    scenes: Sequence[Scene]
    seed: int


def robot_scenes() -> list[Scene]:
    """Returns the robot on every background and pattern, more often big than small."""
    grounds = list(BACKGROUNDS)
    return [
        Scene(
            "robot",
            "",
            grounds[n * 3 % len(grounds)],
            PATTERNS[n % len(PATTERNS)],
            "small" if n % 5 in (1, 3) else "big",
        )
        for n in range(PICTURES)
    ]


def chalk_scenes() -> list[Scene]:
    """Returns ordinary objects of all kinds in chalk."""
    kinds, colours = list(OBJECTS), [name for name in COLOURS if name not in ("black", "brown")]
    return [
        Scene(
            kinds[n * 5 % len(kinds)],
            colours[n * 3 % len(colours)],
            "black",
            "plain",
            "small" if n % 5 == 4 else "big",
            "chalk",
        )
        for n in range(PICTURES)
    ]


def data_sets() -> list[DataSet]:
    """Returns both example data sets."""
    return [
        DataSet(f"dataset/12_{TRIGGER}", "robot", robot_scenes(), 31),
        DataSet("dataset_style/10_chalk style", "chalk", chalk_scenes(), 32),
    ]


def write(data_set: DataSet, out: Path) -> Path:
    """Writes the pictures and their captions; returns their folder."""
    folder = out / data_set.folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(data_set.seed)
    for n, scene in enumerate(data_set.scenes, 1):
        draw(scene, rng).save(folder / f"{data_set.stem}_{n:02d}.png", optimize=True)
        (folder / f"{data_set.stem}_{n:02d}.txt").write_text(f"{caption(scene, rng)}\n", encoding="utf-8")
    return folder


def main() -> None:
    """Writes both data sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    for data_set in data_sets():
        print(write(data_set, out))


if __name__ == "__main__":
    main()
