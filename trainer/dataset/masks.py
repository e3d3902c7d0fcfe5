"""Which parts of the pictures are learned: finding their masks, and reading them."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from trainer.dataset import folders
from trainer.dataset.found import Picture, Scan, Subset
from trainer.dataset.pictures import BrokenPicture, open_alpha, open_picture
from trainer.dataset.problems import Level, Problem, problem, some
from trainer.job.settings import Dataset
from trainer.job.words import say

_SETTING = "dataset.mask_folder"


def with_masks(found: Scan, settings: Dataset) -> Scan:
    """`found` with the mask of each picture that has one in the mask folder, if that is what the settings ask for.

    A mask has the name of its picture but for the ending. It lies in a folder named like the picture's, or else right
    in the mask folder. What is wrong is added to the problems.
    """
    if settings.masked_loss != "folder":
        return found
    folder = folders.resolve(settings.mask_folder)
    try:
        subsets = tuple(_masked(subset, folder) for subset in found.subsets)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _with(found, problem("error", "mask_folder", folder, _SETTING, reason=reason))
    lacking = [picture for subset in subsets for picture in subset.pictures if picture.mask is None]
    masked = replace(found, subsets=subsets)
    if not lacking:
        return masked
    level: Level = "warning" if len(lacking) < found.pictures else "error"
    key = "mask_some" if level == "warning" else "mask_none"
    names = some([picture.path.name for picture in lacking])
    return _with(masked, problem(level, key, folder, _SETTING, count=len(lacking), names=names))


def read_mask(picture: Picture, settings: Dataset) -> Image.Image | None:
    """How much each part of `picture` is learned, from black (not) to white, in the picture's size; None: all of it.

    Raises BrokenPicture with the picture's path, whichever of the two cannot be read.
    """
    if settings.masked_loss == "alpha":
        return open_alpha(picture.path)
    if picture.mask is None:
        return None
    try:
        mask = open_picture(picture.mask, "black").convert("L")
    except BrokenPicture as error:
        reason = say("mask_broken", path=picture.mask, reason=error.reason)
        raise BrokenPicture(picture.path, reason) from error
    size = picture.width_px, picture.height_px
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def _masked(subset: Subset, folder: pathlib.Path) -> Subset:
    masks = _by_stem(folder)
    if (folder / subset.name).is_dir():
        masks = {**masks, **_by_stem(folder / subset.name)}
    pictures = (replace(picture, mask=masks.get(folders.stem(picture.path))) for picture in subset.pictures)
    return replace(subset, pictures=tuple(pictures))


def _by_stem(folder: pathlib.Path) -> Mapping[str, pathlib.Path]:
    pictures: Sequence[pathlib.Path] = folders.listing(folder).pictures
    return {folders.stem(path): path for path in reversed(pictures)}


def _with(found: Scan, wrong: Problem) -> Scan:
    return replace(found, problems=(*found.problems, wrong))
