"""Warnings about a data set that can be read but may not train as its owner expects."""

import dataclasses
import functools
import re
from collections.abc import Sequence

from trainer.dataset import buckets, regularisation
from trainer.dataset.captions import longest
from trainer.dataset.problems import Problem, problem, some
from trainer.dataset.scan import Picture, Scan
from trainer.job.facts import FAMILIES
from trainer.job.settings import Dataset, Job

_FEW = 5
_MUCH_CUT = 1 / 3
_SMALL_AREA = 1 / 4
_WORDED = ("caption_prefix", "caption_suffix", "wildcards")
"""The settings that decide how long a caption becomes."""
_REMEMBERED = 4


def remarks(scan: Scan, counts: Sequence[int], job: Job) -> tuple[Problem, ...]:
    """The warnings, all about settings that do not suit the pictures or each other; none without pictures.

    `counts` says how many pictures each bucket shows in an epoch.
    """
    pictures = [picture for subset in scan.subsets for picture in subset.pictures]
    if not pictures:
        return ()
    return (
        *_resolution(job),
        *_pictures(pictures, job),
        *_short_batches(counts, job.training.batch_size),
        *_unused(scan),
    )


def cut_share(width_px: int, height_px: int, bucket: buckets.Size) -> float:
    """How much of the area of a picture of this size is cut away to fit its bucket, from 0 to 1."""
    width, height = buckets.scaled_size(width_px, height_px, bucket)
    return 1 - bucket[0] * bucket[1] / (width * height)


@functools.lru_cache(maxsize=2**14)
def is_longer(caption: str, most_tokens: int) -> bool:
    """Whether a CLIP text encoder sees more than `most_tokens` at least: one a word, one a sign."""
    if len(caption) <= most_tokens:
        return False
    # Each word or sign ends in one place only, so that nothing is tried twice; of thousands, the first ones tell.
    return re.match(rf"(?:\s*(?:\w+(?!\w)|[^\w\s])){{{most_tokens + 1}}}", caption) is not None


def _resolution(job: Job) -> list[Problem]:
    settings, found = job.dataset, []
    resolution, step, smallest = settings.resolution, settings.bucket_step_px, settings.bucket_min_px
    side, _ = buckets.square(resolution, step)
    if side != resolution:
        values = {"resolution": resolution, "side": side, "step": step}
        found.append(_mended(side, _warn("data_odd_resolution", "dataset.resolution", **values)))
    if settings.buckets and smallest > resolution:
        values = {"smallest": smallest, "resolution": resolution, "half": max(64, resolution // 2)}
        found.append(_mended(values["half"], _warn("data_only_square", "dataset.bucket_min_px", **values)))
    family = FAMILIES[job.model.family]
    if job.model.base != "starter" and resolution * 2 <= family.native_px:
        said = {"resolution": resolution, "family": family.label, "native": family.native_px}
        found.append(_mended(family.native_px, _warn("data_low_resolution", "dataset.resolution", **said)))
    return found


def _pictures(pictures: Sequence[Picture], job: Job) -> list[Problem]:
    settings, most = job.dataset, job.training.caption_tokens
    found = [_warn("data_few", "dataset.folder", count=len(pictures))] if len(pictures) < _FEW else []
    side = settings.resolution
    small = [p.path.name for p in pictures if p.width_px * p.height_px < side**2 * _SMALL_AREA]
    chosen, sizes = buckets.chooser(settings), {(p.width_px, p.height_px) for p in pictures}
    much_cut = {size for size in sizes if cut_share(*size, chosen(*size)) > _MUCH_CUT}
    cut = [p.path.name for p in pictures if (p.width_px, p.height_px) in much_cut]
    if small:
        found.append(_warn("data_small", "dataset.resolution", count=len(small), names=some(small), resolution=side))
    if cut:
        found.append(_warn("data_much_cut", "dataset.buckets", count=len(cut), names=some(cut)))
    asked = Dataset(**{name: getattr(settings, name) for name in _WORDED})
    long = [pictures[at].path.name for at in _long(tuple(p.caption for p in pictures), asked, most)]
    if long:
        found.append(_warn("data_long_captions", "dataset.folder", count=len(long), names=some(long), limit=most))
    return found


# At each change of a setting it is asked of all captions again, twice.
@functools.lru_cache(maxsize=_REMEMBERED)
def _long(captions: tuple[str, ...], settings: Dataset, most_tokens: int) -> tuple[int, ...]:
    """Which of the captions are, or may become, longer than that."""
    texts = ((at, longest(caption, settings)) for at, caption in enumerate(captions))
    return tuple(at for at, said in texts if any(is_longer(text, most_tokens) for text in said))


def _short_batches(counts: Sequence[int], batch_size: int) -> list[Problem]:
    """A warning when most batches hold fewer pictures than asked for, because each bucket ends with a short one."""
    real, ideal = buckets.batches(counts, batch_size), buckets.batches([sum(counts)], batch_size)
    if real < 2 * ideal:
        return []
    return [_warn("data_short_batches", "training.batch_size", buckets=len(counts), batches=real, ideal=ideal)]


def _unused(scan: Scan) -> list[Problem]:
    """A warning when there are regularisation pictures that no epoch shows."""
    times = [times for _, times in regularisation.repeats(scan.regularisation, scan.repeated)]
    if 0 not in times:
        return []
    return [_warn("data_regularisation_unused", "dataset.regularisation_folder", count=times.count(0))]


def _mended(value: int, found: Problem) -> Problem:
    return dataclasses.replace(found, mend=str(value))


def _warn(key: str, setting: str, **values: object) -> Problem:
    return problem("warning", key, "", setting, **values)
