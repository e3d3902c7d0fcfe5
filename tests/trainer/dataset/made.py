"""Pictures and folders made for a test."""

import pathlib
from typing import Any

from PIL import Image

from trainer.dataset.scan import Scan, scan
from trainer.job.settings import Dataset


def picture(
    path: pathlib.Path, size: tuple[int, int] = (64, 64), caption: str | None = "a cat", **save: Any
) -> pathlib.Path:
    """A picture of one colour in the format that the name says, with its caption beside it (None: without)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 100, 50)).save(path, **save)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def pictures(folder: pathlib.Path, count: int = 5, size: tuple[int, int] = (64, 64)) -> pathlib.Path:
    """A folder with `count` captioned pictures 1.png, 2.png, …"""
    for number in range(1, count + 1):
        picture(folder / f"{number}.png", size)
    return folder


def turned(orientation: int) -> Image.Exif:
    """EXIF that says how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def scanned(folder: pathlib.Path, **settings: Any) -> Scan:
    """The scan of `folder` under these settings."""
    return scan(Dataset(folder=str(folder), **settings))


def errors(found: Scan) -> list[str]:
    """The sentences of all errors."""
    return [wrong.sentence for wrong in found.problems if wrong.level == "error"]


def warnings(found: Scan) -> list[str]:
    """The sentences of all warnings."""
    return [wrong.sentence for wrong in found.problems if wrong.level == "warning"]


def only(sentences: list[str], *parts: str) -> bool:
    """Whether there is exactly one sentence and it names all `parts`."""
    return len(sentences) == 1 and all(part in sentences[0] for part in parts)
