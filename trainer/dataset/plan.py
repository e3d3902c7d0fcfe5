"""How long a training is and in which order it sees what: the one source of every count that is shown or obeyed."""

import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.dataset import buckets, regularisation
from trainer.dataset.buckets import Size
from trainer.dataset.captions import caption_for
from trainer.dataset.problems import Problem
from trainer.dataset.remarks import remarks
from trainer.dataset.scan import Picture, Scan
from trainer.dataset.scan import scan as read_folder
from trainer.job.settings import Dataset, Job


@dataclass(frozen=True)
class Row:
    """One bucket: its size in px, the pictures in it, and how many an epoch shows of it (`repeated`)."""

    width_px: int
    height_px: int
    pictures: int
    repeated: int


@dataclass(frozen=True)
class Plan:
    """The exact counts of a training. `steps` are optimizer steps in all; the last epoch may be cut short.

    `pictures` are those to be learned. An epoch shows `repeated` in all, `regularisation` of them of that folder.
    """

    pictures: int
    repeated: int
    rows: tuple[Row, ...]
    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    steps: int
    problems: tuple[Problem, ...]
    regularisation: int = 0

    @property
    def ok(self) -> bool:
        return not any(found.level == "error" for found in self.problems)


@dataclass(frozen=True)
class Item:
    """One picture as one batch shows it: in this bucket, with this caption, mirrored or not.

    `crop` says where the bucket is cut out of it (see pictures.fit), `regular` that it is of the regularisation folder.
    """

    picture: Picture
    bucket: Size
    caption: str
    flip: bool
    crop: float = buckets.CENTRE
    regular: bool = False


Batch = tuple[Item, ...]


def make_plan(job: Job, scan: Scan | None = None) -> Plan:
    """The plan of `job`; the folder is read unless its `scan` is given. What is wrong is in `problems`."""
    found = read_folder(job.dataset) if scan is None else scan
    rows = bucket_rows(found, job.dataset)
    others = sum(times for _, times in regularisation.repeats(found.regularisation, found.repeated))
    counts = [row.repeated for row in rows]
    training = job.training
    per_epoch = buckets.steps_per_epoch(counts, training.batch_size, training.gradient_accumulation)
    epochs = training.epochs or (math.ceil(training.steps / per_epoch) if per_epoch else 0)
    return Plan(
        found.pictures,
        found.repeated + others,
        rows,
        buckets.batches(counts, training.batch_size),
        per_epoch,
        epochs,
        min(training.steps, epochs * per_epoch) if training.steps else epochs * per_epoch,
        (*found.problems, *remarks(found, counts, job)),
        others,
    )


def bucket_rows(scan: Scan, settings: Dataset) -> tuple[Row, ...]:
    """One row for each bucket that holds a picture, by width, then height."""
    pictures, repeated = Counter[Size](), Counter[Size]()
    chosen = buckets.chooser(settings)
    alike = Counter((picture.width_px, picture.height_px, times) for picture, times, _ in _shown(scan))
    for (width, height, times), count in alike.items():
        bucket = chosen(width, height)
        pictures[bucket] += count
        repeated[bucket] += count * times
    return tuple(Row(*bucket, pictures[bucket], repeated[bucket]) for bucket in sorted(pictures))


def epoch_batches(scan: Scan, job: Job, epoch: int) -> list[Batch]:
    """The batches of `epoch` (any whole number) in their order, which (seed, epoch) alone decides.

    Each picture comes `repeats` times, with its caption and mirroring drawn anew. A batch never mixes buckets; the last
    batch of a bucket may be short.
    """
    seed, size = job.training.seed, job.training.batch_size
    # Text seeds go through SHA-512, the same in every process and on every machine.
    order = random.Random(f"order {seed} {epoch}")
    by_bucket: dict[Size, list[Item]] = {}
    for item in _items(scan, job, epoch):
        by_bucket.setdefault(item.bucket, []).append(item)
    batches: list[Batch] = []
    for bucket in sorted(by_bucket):
        items = by_bucket[bucket]
        order.shuffle(items)
        batches += [tuple(items[at : at + size]) for at in range(0, len(items), size)]
    order.shuffle(batches)
    return batches


def _items(scan: Scan, job: Job, epoch: int) -> Iterator[Item]:
    every = job.dataset.caption_dropout_every_epochs
    silent = every > 0 and epoch % every == 0
    index = 0
    chosen = buckets.chooser(job.dataset)
    untriggered = job.dataset.model_copy(update={"trigger": ""})
    for picture, times, regular in _shown(scan):
        bucket = chosen(picture.width_px, picture.height_px)
        places = buckets.crops(picture.width_px, picture.height_px, bucket)
        for _ in range(times):
            rng = random.Random(f"item {job.training.seed} {epoch} {index}")
            flip = rng.random() < 0.5 and job.dataset.flip
            caption = caption_for(picture.caption, untriggered if regular else job.dataset, rng)
            crop = rng.choice(places) if job.dataset.random_crop else buckets.CENTRE
            yield Item(picture, bucket, "" if silent else caption, flip, crop, regular)
            index += 1


def _shown(scan: Scan) -> Iterator[tuple[Picture, int, bool]]:
    """Each picture that an epoch shows, how often, and whether it is one of the regularisation folder."""
    for subset in scan.subsets:
        yield from ((picture, subset.repeats, False) for picture in subset.pictures)
    for picture, times in regularisation.repeats(scan.regularisation, scan.repeated):
        if times:
            yield picture, times, True
