"""From the plan's items to the tensors of a batch."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainer.dataset import buckets
from trainer.dataset.captions import vary
from trainer.dataset.pictures import BrokenPicture
from trainer.dataset.plan import Item, epoch_batches
from trainer.dataset.scan import Scan
from trainer.engine.cache import (
    Encoder,
    PictureKey,
    Progress,
    encode_captions,
    encode_pictures,
    picture_key,
    read_masks,
)
from trainer.families.base import Batch, Cached, Frame
from trainer.job.settings import Job

CACHE_FOLDER = ".cache"


@dataclasses.dataclass(frozen=True)
class Supply:
    """Everything encoded, on the CPU; `texts` is None when captions are to be encoded in the step.

    `masks` holds those of the pictures that are not learned as a whole, [1, h, w] from 0 to 1; `prior_loss_weight` is
    how much regularisation pictures count.
    """

    pictures: Mapping[PictureKey, Cached]
    texts: Mapping[str, Cached] | None
    masks: Mapping[PictureKey, Tensor]
    prior_loss_weight: float

    def batch(self, items: Sequence[Item]) -> Batch:
        """The batch of `items`, which are all of one bucket."""
        captions = tuple(item.caption for item in items)
        texts = stacked([self.texts[caption] for caption in captions]) if self.texts is not None else None
        keys = [picture_key(item) for item in items]
        pictures = stacked([self.pictures[key] for key in keys])
        frames = tuple(frame(item) for item in items)
        return Batch(pictures, captions, texts, self._masks(keys), self._weights(items), frames)

    def _weights(self, items: Sequence[Item]) -> Tensor | None:
        if not any(item.regular for item in items):
            return None
        return torch.tensor([self.prior_loss_weight if item.regular else 1.0 for item in items])

    def _masks(self, keys: Sequence[PictureKey]) -> Tensor | None:
        found = [self.masks[key] for key in keys if key in self.masks]
        if not found:
            return None
        return torch.stack([self.masks[key] if key in self.masks else torch.ones_like(found[0]) for key in keys])


def stacked(cached: Sequence[Cached]) -> Cached:
    """The tensors of several items by name, [B, …]."""
    return {name: torch.stack([one[name] for one in cached]) for name in cached[0]}


def frame(item: Item) -> Frame:
    """How much of its picture an item shows, as `pictures.fit` cuts it and then mirrors it."""
    original = item.picture.width_px, item.picture.height_px
    width, _ = buckets.scaled_size(*original, item.bucket)
    left, top = buckets.place(*original, item.bucket, item.crop)
    return Frame(original, (width - item.bucket[0] - left if item.flip else left, top), item.bucket)


def supply(
    job: Job, found: Scan, encoder: Encoder, folder: pathlib.Path, pictures: Progress, captions: Progress
) -> tuple[Supply, list[BrokenPicture]]:
    """Encodes all that the job will ever show, and names the pictures that could not be read; `folder` is the cache."""
    items = list(_every_item(job, found))
    latents, broken = encode_pictures(encoder, items, job.dataset, folder, pictures)
    masks, unmasked = read_masks(items, latents, job.dataset)
    broken += unmasked
    prior = job.training.prior_loss_weight
    if job.training.text_encoder or vary(job.dataset):
        return Supply(latents, None, masks, prior), broken
    silent = job.dataset.caption_dropout or job.dataset.caption_dropout_every_epochs
    said = [*(item.caption for item in items), *([""] if silent else [])]
    return Supply(latents, encode_captions(encoder, said, captions), masks, prior), broken


def _every_item(job: Job, found: Scan) -> Iterator[Item]:
    # The first epoch shows every picture; what chance may do to it later is put in here by hand.
    surely = {"caption_dropout": 0.0, "caption_dropout_every_epochs": 0, "flip": False, "random_crop": False}
    certain = job.model_copy(update={"dataset": job.dataset.model_copy(update=surely)})
    for batch in epoch_batches(found, certain, 1):
        for item in batch:
            size = item.picture.width_px, item.picture.height_px
            for crop in buckets.crops(*size, item.bucket) if job.dataset.random_crop else (item.crop,):
                for flip in (False, True)[: 1 + job.dataset.flip]:
                    yield dataclasses.replace(item, crop=crop, flip=flip)


def grouped(batches: Sequence[Sequence[Item]], size: int) -> list[Sequence[Sequence[Item]]]:
    """The batches of each step: `size` of them, fewer in the last step of the epoch."""
    return [batches[at : at + size] for at in range(0, len(batches), size)]
