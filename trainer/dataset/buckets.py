"""Which size each picture is trained at, and how many batches and steps follow. Pure arithmetic, all sizes in px.

The rules are those of Kohya's scripts (`make_bucket_resolutions`, `select_bucket`), so that a data set falls into the
buckets that its owner knows. Three things differ: sides are always multiples of the step and at least one step; the
nearest aspect ratio is measured by its logarithm, which crops least and treats wide and tall alike; and without
enlarging, the smallest and largest side still hold wherever the picture is large enough.
"""

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from trainer.job.settings import Dataset

Size = tuple[int, int]
CENTRE = 0.5
_PLACES = 5
_REMEMBERED = 16_384


class _Rule(NamedTuple):
    """The settings that decide a bucket, under their names there."""

    buckets: bool
    resolution: int
    bucket_min_px: int
    bucket_max_px: int
    bucket_step_px: int
    upscale: bool


@functools.cache
def bucket_sizes(resolution_px: int, min_px: int, max_px: int, step_px: int) -> tuple[Size, ...]:
    """All (width, height) with an area of at most resolution² and sides between min and max, and the square; sorted."""
    area = resolution_px**2
    low, high = math.ceil(min_px / step_px) * step_px, _floor(max_px, step_px)
    sizes = {square(resolution_px, step_px)}
    for width in range(low, high + 1, step_px):
        height = min(high, _floor(area // width, step_px))
        if height >= low:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


def square(resolution_px: int, step_px: int) -> Size:
    """The largest square of whole steps within resolution², at least one step wide."""
    side = max(step_px, _floor(resolution_px, step_px))
    return side, side


def choose(width_px: int, height_px: int, settings: Dataset) -> Size:
    """The bucket of a picture of this size: one square without buckets, otherwise by the rule that `upscale` names."""
    return chooser(settings)(width_px, height_px)


def chooser(settings: Dataset) -> Callable[[int, int], Size]:
    """`choose` with these settings, for many pictures."""
    return functools.partial(_choose, _Rule(*(getattr(settings, name) for name in _Rule._fields)))


# Of thousands of pictures, many have one size, and all of them are asked for again at each change of a setting.
@functools.lru_cache(maxsize=_REMEMBERED)
def _choose(rule: _Rule, width_px: int, height_px: int) -> Size:
    if not rule.buckets:
        return square(rule.resolution, rule.bucket_step_px)
    sizes = bucket_sizes(rule.resolution, rule.bucket_min_px, rule.bucket_max_px, rule.bucket_step_px)
    if (width_px, height_px) in sizes:
        return width_px, height_px
    if rule.upscale:
        return nearest(width_px, height_px, sizes)
    bucket = _own_size(width_px, height_px, rule)
    if rule.bucket_min_px <= min(bucket) and max(bucket) <= rule.bucket_max_px:
        return bucket
    fitting = [size for size in sizes if size[0] <= width_px and size[1] <= height_px]
    return nearest(width_px, height_px, fitting) if fitting else _at_most(bucket, rule)


def nearest(width_px: int, height_px: int, sizes: Iterable[Size]) -> Size:
    """The one of `sizes` of the nearest aspect ratio, so that least is cropped; the largest of equals."""
    ratio = math.log(width_px) - math.log(height_px)
    return min(sizes, key=lambda size: (abs(math.log(size[0]) - math.log(size[1]) - ratio), -size[0] * size[1], size))


def scaled_size(width_px: int, height_px: int, bucket: Size) -> Size:
    """The size to scale a picture to before its centre is cut out: the smallest in its own ratio that covers `bucket`.

    Kohya's scripts leave a small picture unscaled and cut its bucket out of it, so that of 127 × 127 only the middle
    64 × 64 is seen; here it is shrunk, and only what does not fit the bucket's ratio is cut.
    """
    scale = max(bucket[0] / width_px, bucket[1] / height_px)
    return max(bucket[0], round(width_px * scale)), max(bucket[1], round(height_px * scale))


def place(width_px: int, height_px: int, bucket: Size, crop: float) -> tuple[int, int]:
    """How much of the picture, scaled to cover `bucket`, is cut off left of and above it; `crop` is its share."""
    width, height = scaled_size(width_px, height_px, bucket)
    return int((width - bucket[0]) * crop), int((height - bucket[1]) * crop)


def crops(width_px: int, height_px: int, bucket: Size) -> tuple[float, ...]:
    """Where `bucket` may be cut out of a picture, as shares of what is cut off that lie left of or above it.

    There are few, evenly spread from one end to the other, because each is encoded and kept.
    """
    width, height = scaled_size(width_px, height_px, bucket)
    places = min(_PLACES, max(width - bucket[0], height - bucket[1]) + 1)
    return tuple(place / (places - 1) for place in range(places)) if places > 1 else (CENTRE,)


def batches(counts: Iterable[int], batch_size: int) -> int:
    """Batches of an epoch, given how many pictures (with repeats) each bucket holds: no batch mixes buckets."""
    return sum(-(-count // batch_size) for count in counts)


def steps_per_epoch(counts: Iterable[int], batch_size: int, gradient_accumulation: int = 1) -> int:
    """Optimizer steps of an epoch; the last step of an epoch may add up fewer batches."""
    return -(-batches(counts, batch_size) // gradient_accumulation)


def _own_size(width_px: int, height_px: int, rule: _Rule) -> Size:
    """Kohya's rule without enlarging: shrunk to the area if need be, then cut down to whole steps."""
    step, area = rule.bucket_step_px, rule.resolution**2
    if width_px * height_px <= area:
        return _cut(width_px, step), _cut(height_px, step)
    wide = _cut(math.sqrt(area * width_px / height_px) + 0.5, step)
    tall = _cut(math.sqrt(area * height_px / width_px) + 0.5, step)
    whole_steps_wide = wide, _cut(min(height_px, wide * height_px / width_px + 0.5), step)
    whole_steps_tall = _cut(min(width_px, tall * width_px / height_px + 0.5), step), tall
    return nearest(width_px, height_px, (whole_steps_wide, whole_steps_tall))


def _at_most(size: Size, rule: _Rule) -> Size:
    longest = _cut(rule.bucket_max_px, rule.bucket_step_px)
    return min(size[0], longest), min(size[1], longest)


def _floor(length: int, step: int) -> int:
    return length - length % step


def _cut(length: float, step: int) -> int:
    """`length` cut down to whole steps, but to one at least."""
    return max(step, _floor(int(length), step))
