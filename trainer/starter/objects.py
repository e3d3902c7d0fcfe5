"""The ordinary objects of the drawn world: one function each, from a colour to parts."""

from collections.abc import Callable

import numpy as np

from trainer.starter.shapes import INK, RGB, Part, bow, box, mirrored, mix, oval, shape, stroke

WHITE: RGB = (250, 250, 246)


def _dark(colour: RGB) -> RGB:
    """Returns a darker shade; black gets lighter instead, so that the details stay visible."""
    return mix(colour, (110, 112, 124), 0.5) if sum(colour) < 200 else mix(colour, (20, 16, 30), 0.32)


def _light(colour: RGB) -> RGB:
    """Returns a lighter shade; white gets greyer instead."""
    return mix(colour, (120, 124, 140), 0.25) if sum(colour) > 700 else mix(colour, (255, 255, 255), 0.4)


def circle(colour: RGB) -> list[Part]:
    """Returns a disc."""
    return [oval((0, 0), (0.95, 0.95), colour)]


def square(colour: RGB) -> list[Part]:
    """Returns a square."""
    return [box((-0.85, -0.85), (0.85, 0.85), 0, colour)]


def triangle(colour: RGB) -> list[Part]:
    """Returns a triangle that stands on its base."""
    return [shape([(0, -0.9), (0.98, 0.8), (-0.98, 0.8)], colour)]


def star(colour: RGB) -> list[Part]:
    """Returns a five-pointed star."""
    turn = np.arange(10) * np.pi / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2, 0.46, 1.0)
    return [Part(np.stack([np.cos(turn) * radius, np.sin(turn) * radius + 0.06], 1), colour)]


def heart(colour: RGB) -> list[Part]:
    """Returns a heart."""
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [Part(np.stack([np.sin(t) ** 3 * 0.98, y / 16 - 0.1], 1), colour)]


def tree(colour: RGB) -> list[Part]:
    """Returns a tree whose crown has the colour."""
    trunk = box((-0.16, 0.2), (0.16, 0.98), 0, (128, 82, 48))
    return [
        trunk,
        shape([(0, -0.98), (0.62, -0.1), (-0.62, -0.1)], colour),
        shape([(0, -0.5), (0.8, 0.5), (-0.8, 0.5)], colour),
    ]


def house(colour: RGB) -> list[Part]:
    """Returns a house whose walls have the colour."""
    walls = box((-0.72, -0.15), (0.72, 0.92), 0, colour)
    roof = shape([(0, -0.95), (0.98, -0.1), (-0.98, -0.1)], _dark(colour))
    return [walls, roof, box((-0.5, 0.3), (-0.1, 0.92), 0, INK), box((0.14, 0.16), (0.52, 0.52), 0, WHITE)]


def flower(colour: RGB) -> list[Part]:
    """Returns a flower whose petals have the colour."""
    stem = stroke([(0, 0.1), (0, 0.95)], 0.15, (62, 140, 70))
    leaf = shape([(0, 0.8), (0.28, 0.5), (0.56, 0.52), (0.34, 0.76)], (62, 140, 70))
    turn = np.arange(6) * np.pi / 3 + 0.5
    petals = [oval((0.4 * np.cos(t), 0.4 * np.sin(t) - 0.25), (0.31, 0.31), colour) for t in turn]
    middle = (250, 206, 70) if abs(colour[1] - 200) + abs(colour[2] - 60) > 60 else (240, 236, 220)
    return [stem, leaf, *petals, oval((0, -0.25), (0.26, 0.26), middle)]


def fish(colour: RGB) -> list[Part]:
    """Returns a fish that swims to the left."""
    tail = shape([(0.4, 0), (0.98, -0.55), (0.85, 0), (0.98, 0.55)], _dark(colour))
    fin = shape([(-0.2, -0.4), (0.15, -0.8), (0.3, -0.35)], _dark(colour))
    return [
        tail,
        fin,
        oval((-0.2, 0), (0.76, 0.52), colour),
        oval((-0.56, -0.12), (0.15, 0.15), WHITE),
        oval((-0.58, -0.12), (0.08, 0.08), INK),
        stroke([(-0.2, 0.1), (0.1, 0.1)], 0.1, _dark(colour)),
    ]


def cat(colour: RGB) -> list[Part]:
    """Returns the face of a cat."""
    ears = mirrored([shape([(-0.86, -0.95), (-0.2, -0.6), (-0.8, -0.05)], colour)])
    eyes = mirrored([oval((-0.36, -0.05), (0.2, 0.22), WHITE), oval((-0.34, -0.03), (0.1, 0.14), INK)])
    snout = [oval((0, 0.42), (0.38, 0.27), _light(colour)), shape([(-0.13, 0.28), (0.13, 0.28), (0, 0.44)], INK)]
    whiskers = mirrored(
        [
            stroke([(0.46, 0.4), (0.95, 0.3)], 0.07, _dark(colour)),
            stroke([(0.46, 0.5), (0.95, 0.58)], 0.07, _dark(colour)),
        ]
    )
    return [*ears, oval((0, 0.12), (0.84, 0.76), colour), *eyes, *snout, *whiskers]


def car(colour: RGB) -> list[Part]:
    """Returns a car seen from its side."""
    cabin = shape([(-0.6, 0), (-0.38, -0.55), (0.32, -0.55), (0.62, 0)], colour)
    panes = [
        shape([(-0.42, -0.06), (-0.28, -0.4), (-0.06, -0.4), (-0.06, -0.06)], (206, 232, 244)),
        shape([(0.08, -0.06), (0.08, -0.4), (0.25, -0.4), (0.42, -0.06)], (206, 232, 244)),
    ]
    wheels = mirrored([oval((0.52, 0.46), (0.27, 0.27), INK), oval((0.52, 0.46), (0.12, 0.12), (214, 214, 220))])
    return [cabin, *panes, box((-0.98, -0.05), (0.98, 0.46), 0.16, colour), *wheels]


def boat(colour: RGB) -> list[Part]:
    """Returns a sailing boat whose hull has the colour."""
    hull = shape([(-0.95, 0.35), (0.95, 0.35), (0.6, 0.9), (-0.6, 0.9)], colour)
    sail = shape([(0.1, -0.9), (0.1, 0.2), (0.82, 0.2)], _light(colour))
    jib = shape([(-0.14, -0.6), (-0.14, 0.2), (-0.68, 0.2)], _light(colour))
    return [stroke([(-0.02, -0.92), (-0.02, 0.4)], 0.11, (110, 74, 48)), sail, jib, hull]


def mushroom(colour: RGB) -> list[Part]:
    """Returns a mushroom whose cap has the colour."""
    turn = np.linspace(np.pi, 2 * np.pi, 24)
    cap = Part(np.stack([0.95 * np.cos(turn), 0.95 * np.sin(turn) + 0.15], 1), colour)
    stem = box((-0.3, 0), (0.3, 0.92), 0.14, (244, 228, 200))
    spots = [
        oval(at, (size, size), _light(colour))
        for at, size in (((-0.48, -0.14), 0.17), ((0.08, -0.42), 0.19), ((0.52, -0.08), 0.15))
    ]
    return [stem, cap, *spots]


def smile(width: float, ink: RGB) -> Part:
    """Returns a smiling mouth about the origin."""
    return bow((0, -0.05), (width, width * 0.6), (0.25, np.pi - 0.25), (0.11, ink))


OBJECTS: dict[str, Callable[[RGB], list[Part]]] = {
    each.__name__: each
    for each in (circle, square, triangle, star, heart, tree, house, flower, fish, cat, car, boat, mushroom)
}
