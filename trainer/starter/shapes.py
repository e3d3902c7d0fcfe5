"""Flat shapes as outlines of points, and how they are put on a canvas.

Everything drawn is a list of parts: a filled outline or an open stroke. Because a part is only points and a colour, the
same object can be filled, outlined, tilted or drawn in chalk without knowing how.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]
INK: RGB = (38, 36, 48)


@dataclass(frozen=True)
class Part:
    """One shape: `points` is (n, 2), in units where the whole object fills -1…1; `width` 0 means filled."""

    points: np.ndarray
    fill: RGB
    width: float = 0.0
    edged: bool = True


@dataclass(frozen=True)
class Placing:
    """Where an object stands: its centre and half its side in canvas pixels, and its tilt in radians."""

    x_px: float
    y_px: float
    half_px: float
    tilt: float = 0.0


def mix(a: RGB, b: RGB, share: float) -> RGB:
    """Returns the colour that lies `share` of the way from a to b."""
    return tuple(round(p + (q - p) * share) for p, q in zip(a, b, strict=True))  # type: ignore[return-value]


def oval(centre: Point, radii: Point, fill: RGB) -> Part:
    """Returns a filled ellipse."""
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    points = np.stack([centre[0] + radii[0] * np.cos(turn), centre[1] + radii[1] * np.sin(turn)], 1)
    return Part(points, fill)


def box(low: Point, high: Point, corner: float, fill: RGB) -> Part:
    """Returns a filled box from its low to its high corner, rounded by `corner`."""
    corner = min(corner, (high[0] - low[0]) / 2, (high[1] - low[1]) / 2)
    if corner <= 0:
        return shape([low, (high[0], low[1]), high, (low[0], high[1])], fill)
    turn = np.linspace(0, np.pi / 2, 7)
    arc = np.stack([np.cos(turn), np.sin(turn)], 1) * corner
    (x0, y0), (x1, y1) = (low[0] + corner, low[1] + corner), (high[0] - corner, high[1] - corner)
    around = [((x1, y1), 0), ((x0, y1), 1), ((x0, y0), 2), ((x1, y0), 3)]
    return Part(np.concatenate([np.array(middle) + _quarter_turns(arc, n) for middle, n in around]), fill)


def _quarter_turns(points: np.ndarray, turns: int) -> np.ndarray:
    """Returns the points turned by so many right angles about the origin."""
    for _ in range(turns):
        points = np.stack([-points[:, 1], points[:, 0]], 1)
    return points


def shape(points: Sequence[Point], fill: RGB) -> Part:
    """Returns a filled polygon."""
    return Part(np.array(points, float), fill)


def stroke(points: Sequence[Point], width: float, fill: RGB) -> Part:
    """Returns an open line of that width."""
    return Part(np.array(points, float), fill, width)


def bow(centre: Point, radii: Point, turn: tuple[float, float], stroke_of: tuple[float, RGB]) -> Part:
    """Returns an open arc from turn[0] to turn[1] (radians, clockwise on screen) of a (width, colour)."""
    angle = np.linspace(turn[0], turn[1], 14)
    points = np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], 1)
    return Part(points, stroke_of[1], stroke_of[0])


def mirrored(parts: Sequence[Part]) -> list[Part]:
    """Returns the parts and their mirror images about the middle."""
    flip = np.array([-1.0, 1.0])
    return [twin for part in parts for twin in (part, replace(part, points=part.points * flip))]


def placed(part: Part, placing: Placing) -> np.ndarray:
    """Returns the part's points on the canvas, (n, 2) in pixels."""
    cos, sin = np.cos(placing.tilt), np.sin(placing.tilt)
    turned = part.points @ np.array([[cos, sin], [-sin, cos]])
    return turned * placing.half_px + np.array([placing.x_px, placing.y_px])


def paint(canvas: Image.Image, parts: Sequence[Part], placing: Placing, edge: float = 0.0) -> None:
    """Draws the parts onto the canvas in order; `edge` > 0 gives each a dark outline of that width."""
    brush = ImageDraw.Draw(canvas)
    for part in parts:
        points = [tuple(point) for point in placed(part, placing)]
        edge_px = round(edge * placing.half_px) if part.edged else 0
        if part.width:
            width_px = max(1, round(part.width * placing.half_px))
            if edge_px:
                _line(brush, points, width_px + 2 * edge_px, INK)
            _line(brush, points, width_px, part.fill)
        else:
            brush.polygon(points, fill=part.fill)
            if edge_px:
                _line(brush, [*points, points[0], points[1]], edge_px, INK, ends=False)


def _line(brush: ImageDraw.ImageDraw, points: list, width_px: int, fill: RGB, ends: bool = True) -> None:
    """Draws a line with round joints and, where asked, round ends."""
    brush.line(points, fill=fill, width=width_px, joint="curve")
    radius = width_px / 2
    for x, y in (points[0], points[-1]) if ends else ():
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
