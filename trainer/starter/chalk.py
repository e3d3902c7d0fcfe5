"""The chalk style of the second example data set: pale rough strokes on a dark slate board."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trainer.starter.shapes import RGB, Part, Placing, mix, placed

SLATE: RGB = (44, 56, 60)


def on_board(parts: Sequence[Part], placing: Placing, board: tuple[int, RGB], rng: np.random.Generator) -> Image.Image:
    """Returns a board of (side in pixels, chalk colour) with the outlines of the parts drawn in rough chalk."""
    side_px, colour = board
    canvas = _slate(side_px, rng)
    pale = mix(colour if sum(colour) > 200 else (200, 200, 205), (255, 255, 250), 0.35)
    for part in parts:
        points = placed(part, placing)
        if not part.width:
            _cover(canvas, points, part.fill, rng)
            points = np.concatenate([points, points[:2]])
        for _ in range(2):
            rough = points + rng.normal(0, side_px * 0.006, points.shape)
            chalk_line(canvas, rough, (pale, side_px * 0.028), rng)
    return canvas


def _slate(side_px: int, rng: np.random.Generator) -> Image.Image:
    """Returns the empty board, slightly smudged."""
    smudge = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8)).resize(
        (side_px, side_px), Image.Resampling.BICUBIC
    )
    return Image.composite(
        Image.new("RGB", (side_px, side_px), mix(SLATE, (120, 130, 134), 0.22)),
        Image.new("RGB", (side_px, side_px), SLATE),
        smudge,
    )


def _cover(canvas: Image.Image, points: np.ndarray, fill: RGB, rng: np.random.Generator) -> None:
    """Puts a dusting of the fill inside the outline."""
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).polygon([tuple(point) for point in points], fill=int(rng.integers(60, 80)))
    canvas.paste(mix(fill, (255, 255, 250), 0.3), (0, 0), mask)


def chalk_line(canvas: Image.Image, points: np.ndarray, chalk: tuple[RGB, float], rng: np.random.Generator) -> None:
    """Draws one grainy line of a (colour, width in pixels) onto the canvas."""
    mask = Image.new("L", canvas.size)
    ImageDraw.Draw(mask).line(
        [tuple(point) for point in points], fill=235, width=max(2, round(chalk[1])), joint="curve"
    )
    cells = max(8, canvas.width // 4)
    grain = Image.fromarray(rng.integers(70, 256, (cells, cells), dtype=np.uint8)).resize(
        canvas.size, Image.Resampling.BILINEAR
    )
    rough = Image.fromarray((np.asarray(mask, np.float32) * (np.asarray(grain, np.float32) / 255)).astype(np.uint8))
    canvas.paste(chalk[0], (0, 0), rough.filter(ImageFilter.GaussianBlur(canvas.width / 400)))
