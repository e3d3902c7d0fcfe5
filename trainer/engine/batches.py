"""From the plan's items to the tensors of a batch."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainer.dataset.pictures import BrokenPicture
from trainer.dataset.plan import Item, epoch_batches
from trainer.dataset.scan import Scan
from trainer.engine.cache import Encoder, PictureKey, Progress, encode_captions, encode_pictures, picture_key
from trainer.families.base import Batch
from trainer.job.settings import Job

CACHE_FOLDER = ".cache"


@dataclasses.dataclass(frozen=True)
class Supply:
    """Everything encoded, on the CPU; `texts` is None when captions are to be encoded in the step."""

    pictures: Mapping[PictureKey, Tensor]
    texts: Mapping[str, Tensor] | None

    def batch(self, items: Sequence[Item]) -> Batch:
        """The batch of `items`, which are all of one bucket."""
        captions = tuple(item.caption for item in items)
        texts = torch.stack([self.texts[caption] for caption in captions]) if self.texts is not None else None
        return Batch(torch.stack([self.pictures[picture_key(item)] for item in items]), captions, texts)


def supply(
    job: Job, found: Scan, encoder: Encoder, folder: pathlib.Path, pictures: Progress, captions: Progress
) -> tuple[Supply, list[BrokenPicture]]:
    """Encodes all that the job will ever show, and names the pictures that could not be read; `folder` is the cache."""
    items = list(_every_item(job, found))
    latents, broken = encode_pictures(encoder, items, job.dataset, folder, pictures)
    if job.training.text_encoder or job.dataset.shuffle_captions:
        return Supply(latents, None), broken
    said = [*(item.caption for item in items), *([""] if job.dataset.caption_dropout else [])]
    return Supply(latents, encode_captions(encoder, said, captions)), broken


def _every_item(job: Job, found: Scan) -> Iterator[Item]:
    # The first epoch shows every picture; what chance may do to it later is put in here by hand.
    certain = job.model_copy(update={"dataset": job.dataset.model_copy(update={"caption_dropout": 0.0, "flip": False})})
    for batch in epoch_batches(found, certain, 1):
        for item in batch:
            yield item
            if job.dataset.flip:
                yield dataclasses.replace(item, flip=True)


def grouped(batches: Sequence[Sequence[Item]], size: int) -> list[Sequence[Sequence[Item]]]:
    """The batches of each step: `size` of them, fewer in the last step of the epoch."""
    return [batches[at : at + size] for at in range(0, len(batches), size)]
