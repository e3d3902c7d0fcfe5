"""What was found in a pictures folder: pictures in subsets, and what is wrong with them."""

import pathlib
from dataclasses import dataclass, field

from trainer.dataset.problems import Problem


@dataclass(frozen=True)
class Picture:
    """One picture, upright: its size in px after EXIF orientation, and what is said of it.

    `caption` is from `caption_path`, or the folder's words where that is None; several lines with wildcards. `mask` is
    the file that says which parts are learned, where there is one. `changed_ns` is when its file was changed, if known.
    """

    path: pathlib.Path
    width_px: int
    height_px: int
    caption: str
    caption_path: pathlib.Path | None = None
    mask: pathlib.Path | None = None
    changed_ns: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Subset:
    """One folder such as `25_cat`: its pictures in natural order, each used `repeats` times an epoch."""

    folder: pathlib.Path
    name: str
    repeats: int
    words: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Scan:
    """All that a pictures folder holds; with `ok`, nothing forbids training on it.

    `regularisation` are the subsets of the regularisation folder; the counts are of the pictures to be learned.
    """

    folder: pathlib.Path
    subsets: tuple[Subset, ...] = ()
    problems: tuple[Problem, ...] = ()
    regularisation: tuple[Subset, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures there are, without repeats."""
        return sum(len(subset.pictures) for subset in self.subsets)

    @property
    def repeated(self) -> int:
        """How many of them an epoch shows: each as often as its folder says."""
        return sum(len(subset.pictures) * subset.repeats for subset in self.subsets)

    @property
    def ok(self) -> bool:
        return not any(found.level == "error" for found in self.problems)
