"""Encodes every picture and caption once and keeps the results in memory and, for pictures, on disk.

A file on disk is named by a hash of the picture's bytes, its bucket, its mirroring and crop, how it was prepared and
the autoencoder's identity, so that an edited picture or another model can never meet a stale result.
"""

import contextlib
import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import torch
from PIL import ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from trainer.dataset.buckets import CENTRE
from trainer.dataset.masks import read_mask
from trainer.dataset.pictures import BrokenPicture, fit, open_picture
from trainer.dataset.plan import Item
from trainer.engine.memory import attempted
from trainer.families.base import Cached, Family, Parts, encoded
from trainer.job.settings import Dataset
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run.folder import write_whole

PictureKey = tuple[pathlib.Path, tuple[int, int], bool, float]
Progress = Callable[[int, int], None]
_BEYOND_MEASURE = 1e6  # latents are of the size of 10, text states of 100 at most


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A family with its loaded parts."""

    family: Family
    parts: Parts

    @functools.cached_property
    def identity(self) -> str:
        """A hash of the weights that encode pictures."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.parts.picture_encoder.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def picture_key(item: Item) -> PictureKey:
    """What tells one encoded picture from another."""
    return item.picture.path, item.bucket, item.flip, item.crop


def encode_pictures(
    encoder: Encoder, items: Iterable[Item], settings: Dataset, folder: pathlib.Path, progress: Progress
) -> tuple[dict[PictureKey, Cached], list[BrokenPicture]]:
    """Every distinct picture of `items` encoded, and those that turned out to be broken.

    `folder` is the disk cache; it is not touched unless `settings.cache_to_disk`. One picture is encoded at a time,
    because a picture's result must not depend on its neighbours in a batch.
    """
    distinct = {picture_key(item): item for item in items}
    found: dict[PictureKey, Cached] = {}
    broken: dict[pathlib.Path, BrokenPicture] = {}
    for number, (key, item) in enumerate(distinct.items()):
        progress(number, len(distinct))
        try:
            found[key] = _encode(encoder, item, settings, folder)
        except BrokenPicture as error:
            broken[item.picture.path] = error
    progress(len(distinct), len(distinct))
    return found, list(broken.values())


def _encode(encoder: Encoder, item: Item, settings: Dataset, folder: pathlib.Path) -> Cached:
    make = functools.partial(_fresh, encoder, item, settings)
    if not settings.cache_to_disk:
        return make()
    try:
        content = item.picture.path.read_bytes()
    except OSError as error:
        raise BrokenPicture(item.picture.path, error) from error
    # The centre goes without saying: what was kept before there was a choice is still found.
    place = "" if item.crop == CENTRE else f" {item.crop}"
    about = f"{encoder.identity} {item.bucket} {item.flip} {settings.transparency}{place}"
    path = folder / f"{hashlib.sha256(content + about.encode()).hexdigest()}.safetensors"
    # A file that a failing disk has damaged is made anew.
    with contextlib.suppress(SafetensorError, OSError):
        if is_usable(kept := load_file(path)):
            return kept
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda stream: stream.write(save(dict(made))))
    return made


def _fresh(encoder: Encoder, item: Item, settings: Dataset) -> Cached:
    picture = fit(open_picture(item.picture.path, settings.transparency), item.bucket, item.crop)
    shown = ImageOps.mirror(picture) if item.flip else picture
    made, lack = attempted(lambda: encoded(encoder.family, encoder.parts, shown))
    if lack:
        width, height = item.bucket
        raise Trouble("out_of_memory_caching", path=item.picture.path, width=width, height=height, reason=lack)
    if not is_usable(made):
        raise BrokenPicture(item.picture.path, say("latent_not_finite"))
    return {name: tensor.contiguous() for name, tensor in made.items()}


def is_usable(cached: Cached) -> bool:
    """Whether what was encoded is finite and of a size that a model can have been trained with."""
    return all(bool((tensor.abs() < _BEYOND_MEASURE).all()) for tensor in cached.values())


def read_masks(
    items: Iterable[Item], pictures: Mapping[PictureKey, Cached], settings: Dataset
) -> tuple[dict[PictureKey, Tensor], list[BrokenPicture]]:
    """How much each part of an encoded picture is learned, [1, h, w] from 0 to 1; and those whose mask is broken.

    A mask is scaled, cut and mirrored as its picture, and each of its values is the mean over what an encoded value
    covers. It is not kept on disk: reading it takes little time. A picture that is learned as a whole has none.
    """
    found: dict[PictureKey, Tensor] = {}
    broken: dict[pathlib.Path, BrokenPicture] = {}
    distinct = {picture_key(item): item for item in items} if settings.masked_loss != "off" else {}
    for key, item in distinct.items():
        try:
            mask = read_mask(item.picture, settings) if key in pictures else None
        except BrokenPicture as error:
            broken[item.picture.path] = error
            continue
        if mask is not None:
            cut = fit(mask, item.bucket, item.crop)
            values = torch.from_numpy(np.array(ImageOps.mirror(cut) if item.flip else cut, dtype=np.float32)) / 255
            size = pictures[key]["latent"].shape[1:]
            found[key] = functional.interpolate(values[None, None], size, mode="area")[0]
    return found, list(broken.values())


def encode_captions(encoder: Encoder, captions: Iterable[str], progress: Progress) -> Mapping[str, Cached]:
    """What is kept of every distinct caption."""
    distinct = list(dict.fromkeys(captions))
    return dict(zip(distinct, _counted(encoder, distinct, progress), strict=True))


def _counted(encoder: Encoder, captions: list[str], progress: Progress) -> Iterator[Cached]:
    for number, caption in enumerate(captions, 1):
        made = encoded(encoder.family, encoder.parts, caption)
        if not is_usable(made):
            raise Trouble("caption_not_finite", caption=caption)
        yield made
        progress(number, len(captions))
