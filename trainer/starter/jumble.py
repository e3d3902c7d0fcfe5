"""Random compositions for the autoencoder: it must learn pictures, not the world's objects by heart."""

from dataclasses import replace

import numpy as np
from PIL import Image

from trainer.starter.chalk import chalk_line
from trainer.starter.characters import random_colour
from trainer.starter.shapes import INK, RGB, Part, Placing, bow, box, mirrored, mix, oval, paint, shape, stroke
from trainer.starter.world import COLOURS, PATTERNS, pattern_picture


def jumble(rng: np.random.Generator, size_px: int) -> Image.Image:
    """Returns a picture of shapes of any kind, size and colour, scaled as a crop of a 128 px picture."""
    side_px = 2 * size_px
    canvas = pattern_picture(str(rng.choice(PATTERNS)), (_colour(rng), _colour(rng)), rng, side_px)
    scale = size_px / 64
    for _ in range(int(rng.integers(2, 7) * scale)):
        _put(canvas, rng)
    if rng.random() < 0.2:
        for _ in range(int(rng.integers(2, 7))):
            points = rng.uniform(0, side_px, 2) + np.cumsum(
                rng.normal(0, side_px * 0.15, (int(rng.integers(2, 8)), 2)), 0
            )
            chalk_line(canvas, points, (_colour(rng), rng.uniform(5, 14)), rng)
    return canvas.reduce(2)


def _colour(rng: np.random.Generator) -> RGB:
    """Returns one of the world's colours, near black or white, or any colour."""
    what = rng.random()
    if what < 0.3:
        return mix(COLOURS[str(rng.choice(list(COLOURS)))], random_colour(rng), rng.uniform(0, 0.2))
    return mix(INK if what < 0.4 else (252, 252, 250), random_colour(rng), 0.1) if what < 0.5 else random_colour(rng)


def _put(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draws one shape, or a cluster of which half is a mirror image, anywhere."""
    cluster = rng.random() < 0.4
    half_px = np.exp(rng.uniform(np.log(30), np.log(130))) if cluster else np.exp(rng.uniform(np.log(5), np.log(110)))
    placing = Placing(
        *rng.uniform(0, canvas.width, 2), half_px, rng.uniform(-0.4, 0.4) if cluster else rng.uniform(0, 6.3)
    )
    parts = _cluster(rng) if cluster else [_part(rng)]
    paint(canvas, parts, placing, rng.choice([0.0, 0.06, 0.12]) if half_px > 20 else 0.0)


def _cluster(rng: np.random.Generator) -> list[Part]:
    """Returns some parts, most of them with a twin on the other side."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(2, 6))):
        size, shift = rng.uniform(0.1, 0.6), rng.uniform(-0.8, 0.8, 2)
        part = _part(rng)
        part = replace(part, points=part.points * size + shift, width=part.width * max(size, 0.3))
        parts += (
            mirrored([part]) if rng.random() < 0.7 else [replace(part, points=part.points - np.array([shift[0], 0]))]
        )
    return parts


def _part(rng: np.random.Generator) -> Part:
    """Returns one shape that fills the unit square."""
    what, fill, flat = rng.integers(6), _colour(rng), rng.uniform(0.25, 1)
    if what == 0:
        return oval((0, 0), (1, flat), fill)
    if what == 1:
        return box((-1, -flat), (1, flat), rng.uniform(0, 0.4), fill)
    if what == 2:
        turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        radius = rng.uniform(0.5, 1, len(turn))
        return shape(list(zip(np.cos(turn) * radius, np.sin(turn) * radius, strict=True)), fill)
    if what == 3:
        return stroke(
            [tuple(point) for point in rng.uniform(-1, 1, (int(rng.integers(2, 4)), 2))], rng.uniform(0.1, 0.3), fill
        )
    if what == 4:
        start = rng.uniform(0, 6.3)
        return bow((0, 0), (1, flat), (start, start + rng.uniform(1, 4)), (rng.uniform(0.1, 0.3), fill))
    return oval((0, 0), (1, 1), fill)
