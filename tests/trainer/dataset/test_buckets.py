"""The arithmetic of buckets, batches and steps."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trainer.dataset.buckets import batches, bucket_sizes, choose, crops, nearest, scaled_size, square, steps_per_epoch
from trainer.job.settings import Dataset

SIDES = st.integers(1, 6000)
KOHYA = ((512, 256, 1024, 17), (768, 256, 1024, 19), (1024, 256, 2048, 41), (1024, 512, 2048, 33))


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Bucket settings of any sort that a job may have."""
    smallest = draw(st.integers(64, 1024))
    return Dataset(
        resolution=draw(st.integers(64, 1536)),
        buckets=draw(st.booleans()),
        upscale=draw(st.booleans()),
        bucket_min_px=smallest,
        bucket_max_px=draw(st.integers(smallest, 4096)),
        bucket_step_px=draw(st.sampled_from((8, 16, 32, 64, 256))),
    )


@pytest.mark.parametrize(("resolution", "smallest", "largest", "count"), KOHYA)
def test_there_are_as_many_buckets_as_in_kohyas_scripts(
    resolution: int, smallest: int, largest: int, count: int
) -> None:
    assert len(bucket_sizes(resolution, smallest, largest, 64)) == count


def test_the_buckets_of_512_begin_and_end_as_in_kohyas_scripts() -> None:
    sizes = bucket_sizes(512, 256, 1024, 64)
    assert (sizes[0], sizes[-1]) == ((256, 832), (1024, 256))
    assert (512, 512) in sizes


def test_sides_are_multiples_of_the_step_even_where_the_limits_are_not() -> None:
    assert all(w % 64 == 0 and h % 64 == 0 for w, h in bucket_sizes(500, 250, 1000, 64))


@given(datasets())
@settings(max_examples=60, deadline=None)
def test_bucket_sizes_keep_their_limits(given: Dataset) -> None:
    step, area = given.bucket_step_px, given.resolution**2
    sizes = bucket_sizes(given.resolution, given.bucket_min_px, given.bucket_max_px, step)
    for size in sizes:
        assert size[0] % step == size[1] % step == 0
        assert size[::-1] in sizes
        if size != square(given.resolution, step):
            assert given.bucket_min_px <= min(size)
            assert max(size) <= given.bucket_max_px
            assert size[0] * size[1] <= area


@given(SIDES, SIDES, datasets())
@example(41, 254, Dataset(resolution=99, upscale=False, bucket_min_px=64, bucket_max_px=248, bucket_step_px=8))
@settings(max_examples=300, deadline=None)
def test_every_picture_gets_a_bucket_of_whole_steps(width: int, height: int, given: Dataset) -> None:
    bucket, step = choose(width, height, given), given.bucket_step_px
    assert min(bucket) >= step
    assert bucket[0] % step == bucket[1] % step == 0
    # Without enlarging, Kohya's rule rounds both sides to whole pixels before it cuts them down to whole steps.
    rounding = 0 if given.upscale else sum(bucket) + 1
    assert bucket[0] * bucket[1] <= given.resolution**2 + rounding or min(bucket) == step or not given.buckets
    assert max(bucket) <= max(given.bucket_max_px, given.resolution, step)


@given(SIDES, SIDES, datasets())
@settings(max_examples=300, deadline=None)
def test_a_scaled_picture_just_covers_its_bucket(width: int, height: int, given: Dataset) -> None:
    bucket = choose(width, height, given)
    scaled = scaled_size(width, height, bucket)
    assert scaled[0] >= bucket[0]
    assert scaled[1] >= bucket[1]
    assert scaled[0] == bucket[0] or scaled[1] == bucket[1]


@given(SIDES, SIDES, datasets())
@settings(max_examples=200, deadline=None)
def test_without_enlarging_nothing_is_enlarged_but_to_one_step(width: int, height: int, given: Dataset) -> None:
    if given.buckets and not given.upscale:
        bucket, step = choose(width, height, given), given.bucket_step_px
        assert bucket[0] <= max(width, step)
        assert bucket[1] <= max(height, step)


@given(SIDES, SIDES, datasets())
@settings(max_examples=200, deadline=None)
def test_a_rotated_picture_loses_as_much(width: int, height: int, given: Dataset) -> None:
    one, other = choose(width, height, given), choose(height, width, given)
    assert sorted(one) == sorted(other)


@pytest.mark.parametrize("upscale", [True, False])
def test_an_exact_size_wins(upscale: bool) -> None:
    for size in bucket_sizes(512, 256, 1024, 64):
        assert choose(*size, Dataset(upscale=upscale, bucket_max_px=1024)) == size


def test_the_nearest_aspect_ratio_crops_least() -> None:
    sizes = bucket_sizes(512, 256, 1024, 64)
    kept = {s: min(s[0] / s[1] / 1.37, 1.37 * s[1] / s[0]) for s in sizes}
    assert nearest(1370, 1000, sizes) == max(kept, key=lambda size: kept[size])


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((1600, 1200), (512, 384)),  # larger: shrunk to the area, then cut to whole steps
        ((2000, 2000), (512, 512)),
        ((500, 300), (448, 256)),  # smaller: its own size, cut to whole steps
        ((200, 200), (192, 192)),  # below the smallest side, since it cannot be enlarged
        ((30, 20), (64, 64)),  # never less than one step
        ((1, 6000), (64, 2048)),
    ],
)
def test_without_enlarging_buckets_follow_kohyas_rule(size: tuple[int, int], bucket: tuple[int, int]) -> None:
    assert choose(*size, Dataset(resolution=512, upscale=False)) == bucket


def test_without_enlarging_a_panorama_keeps_the_smallest_side() -> None:
    assert choose(10_000, 500, Dataset(resolution=512)) == (1024, 256)


def test_without_buckets_everything_is_one_square() -> None:
    given = Dataset(resolution=512, buckets=False)
    assert {choose(w, h, given) for w, h in ((10, 10), (600, 200), (512, 512))} == {(512, 512)}


def test_a_resolution_below_one_step_still_has_a_bucket() -> None:
    assert choose(100, 100, Dataset(resolution=64, bucket_step_px=256, upscale=True)) == (256, 256)


@given(st.lists(st.integers(1, 200), max_size=12), st.integers(1, 40), st.integers(1, 9))
def test_batches_and_steps_are_counted_exactly(counts: list[int], batch_size: int, accumulation: int) -> None:
    made = [count for count in counts for _ in range(0, count, batch_size)]
    assert batches(counts, batch_size) == len(made)
    assert steps_per_epoch(counts, batch_size, accumulation) == math.ceil(len(made) / accumulation)


def test_there_are_no_more_crops_than_pixels_to_choose_from() -> None:
    assert crops(66, 64, (64, 64)) == (0, 0.5, 1)
    assert crops(64, 65, (64, 64)) == (0, 1)
    assert crops(128, 128, (64, 64)) == (0.5,)
    assert crops(64, 640, (64, 64)) == (0, 0.25, 0.5, 0.75, 1)
