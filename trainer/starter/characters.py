"""The made-up creatures, never twice the same, and the one robot that the examples teach."""

from dataclasses import replace

import numpy as np

from trainer.starter.shapes import INK, RGB, Part, bow, box, mirrored, mix, oval, shape, stroke

WHITE: RGB = (250, 250, 246)
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


def random_colour(rng: np.random.Generator) -> RGB:
    """Returns any colour, saturated ones and greys alike."""
    tint = rng.integers(20, 246, 3)
    if rng.random() < 0.3:
        tint = tint * 0.3 + tint.mean() * 0.7
    return int(tint[0]), int(tint[1]), int(tint[2])


def made_up_word(rng: np.random.Generator) -> str:
    """Returns a word that means nothing: syllables mostly, sometimes any letters."""
    if rng.random() < 0.15:
        return "".join(rng.choice(list(_VOWELS + _CONSONANTS), rng.integers(3, 7)))
    count = rng.integers(2, 4)
    letters = zip(rng.choice(list(_CONSONANTS), count), rng.choice(list(_VOWELS), count), strict=True)
    return "".join(a + b for a, b in letters) + (str(rng.choice(list(_CONSONANTS))) if rng.random() < 0.4 else "")


def _block(rng: np.random.Generator, low: tuple, high: tuple, fill: RGB) -> Part:
    """Returns a box, a round box, an ellipse or a trapeze that fills the given corners."""
    style = rng.random()
    if style < 0.62:
        return box(low, high, rng.choice([0.0, 0.08, 0.16, 0.3]), fill)
    (x0, y0), (x1, y1) = low, high
    if style < 0.88:
        return oval(((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) / 2, (y1 - y0) / 2), fill)
    inset = rng.uniform(-0.2, 0.2) * (x1 - x0)
    return shape(
        [(x0 + max(inset, 0), y0), (x1 - max(inset, 0), y0), (x1 + min(inset, 0), y1), (x0 - min(inset, 0), y1)], fill
    )


def creature(colour: RGB, rng: np.random.Generator) -> list[Part]:
    """Returns a symmetrical character whose body has the colour; every call another one."""
    second = mix(colour, random_colour(rng), rng.choice([0.0, 0.25, 0.6, 1.0]))
    chin, wide = rng.uniform(-0.25, 0.3), rng.uniform(0.42, 0.75)
    body_wide, hips = rng.uniform(0.3, 0.62), rng.uniform(0.55, 0.85)
    head = _block(rng, (-wide, rng.uniform(-0.8, -0.6)), (wide, chin), second if rng.random() < 0.4 else colour)
    body = _block(rng, (-body_wide, chin - 0.06), (body_wide, hips), colour)
    legs = _legs(rng, body_wide, hips, second)
    arms = _arms(rng, body_wide, chin, second)
    return [*legs, *arms, body, *_chest(rng, body_wide, chin, hips), *_tops(rng, wide), head, *_face(rng, wide, chin)]


def _legs(rng: np.random.Generator, wide: float, hips: float, fill: RGB) -> list[Part]:
    """Returns two legs, or none."""
    if rng.random() < 0.12:
        return []
    x, half = wide * rng.uniform(0.4, 0.75), rng.uniform(0.09, 0.16)
    foot = _block(rng, (x - half - 0.06, 0.84), (x + half + 0.08, 0.98), random_colour(rng))
    return mirrored(
        [box((x - half, hips - 0.1), (x + half, 0.96), 0.05, fill), *([foot] if rng.random() < 0.6 else [])]
    )


def _arms(rng: np.random.Generator, wide: float, chin: float, fill: RGB) -> list[Part]:
    """Returns two arms with or without hands, or none."""
    if rng.random() < 0.12:
        return []
    shoulder = (wide * 0.85, chin + rng.uniform(0.1, 0.2))
    hand = (min(wide + rng.uniform(0.2, 0.45), 0.88), shoulder[1] + rng.uniform(-0.35, 0.4))
    parts = [stroke([shoulder, hand], rng.uniform(0.12, 0.24), fill)]
    if rng.random() < 0.65:
        size = rng.uniform(0.1, 0.16)
        parts.append(oval(hand, (size, size), random_colour(rng)))
    return mirrored(parts)


def _chest(rng: np.random.Generator, wide: float, chin: float, hips: float) -> list[Part]:
    """Returns what the body wears: a panel, buttons, a belt or nothing."""
    what, tall, fill = rng.random(), hips - chin, random_colour(rng)
    if tall < 0.3 or what < 0.3:
        return []
    middle = (chin + hips) / 2
    if what < 0.65:
        return [_block(rng, (-wide * 0.6, middle - tall * 0.25), (wide * 0.6, middle + tall * 0.25), fill)]
    if what < 0.85:
        return [oval((0, middle + shift * tall), (0.1, 0.1), fill) for shift in (-0.2, 0.2)]
    return [box((-wide * 0.9, middle), (wide * 0.9, middle + 0.16), 0, fill)]


def _tops(rng: np.random.Generator, wide: float) -> list[Part]:
    """Returns what stands on or beside the head: antennas, ears, horns, bolts, or nothing."""
    what, fill = rng.random(), random_colour(rng)
    if what < 0.3:
        bulb = rng.uniform(0.1, 0.17)
        return [stroke([(0, -0.55), (0, -0.84)], 0.12, INK), oval((0, -0.84), (bulb, bulb), fill)]
    if what < 0.5:
        x = wide * rng.uniform(0.4, 0.8)
        return mirrored([stroke([(x * 0.6, -0.6), (x, -0.86)], 0.11, INK), oval((x, -0.86), (0.11, 0.11), fill)])
    if what < 0.68:
        return mirrored([shape([(wide * 0.2, -0.58), (wide * 0.95, -0.45), (wide * 0.9, -0.97)], fill)])
    if what < 0.8:
        return mirrored([oval((wide * 0.8, -0.66), (0.24, 0.24), fill)])
    if what < 0.92:
        return mirrored([box((wide - 0.08, -0.45), (min(wide + 0.17, 0.97), -0.12), 0.04, fill)])
    return []


def _face(rng: np.random.Generator, wide: float, chin: float) -> list[Part]:
    """Returns one to three eyes, and mostly a mouth."""
    size = rng.uniform(0.13, 0.22)
    white = WHITE if rng.random() < 0.45 else random_colour(rng)
    at = (wide * rng.uniform(0.38, 0.55), -0.36 + rng.uniform(-0.06, 0.08))
    square_eye = rng.random() < 0.2
    eye = (
        box((at[0] - size, at[1] - size * 0.8), (at[0] + size, at[1] + size * 0.8), 0.03, white)
        if square_eye
        else oval(at, (size, size), white)
    )
    pupil = oval(at, (size * 0.48, size * 0.48), INK if sum(white) > 250 else WHITE)
    count = rng.random()
    if count < 0.14:
        shift = np.array([at[0], 0.0])
        eyes = [Part(part.points - shift, part.fill) for part in (eye, pupil)]
    else:
        eyes = mirrored([eye, pupil] if rng.random() < 0.85 else [eye])
    return [*eyes, *_mouth(rng, wide, min(chin - 0.1, 0.12))]


def _mouth(rng: np.random.Generator, wide: float, y: float) -> list[Part]:
    """Returns a mouth at that height, or none."""
    what, half = rng.random(), wide * rng.uniform(0.3, 0.55)
    ink = INK if rng.random() < 0.7 else random_colour(rng)
    if what < 0.4:
        return [bow((0, y - 0.14), (half, 0.16), (0.3, np.pi - 0.3), (0.1, ink))]
    if what < 0.75:
        return [box((-half, y - 0.1), (half, y + 0.02), 0.03, ink)]
    return [oval((0, y - 0.05), (half * 0.5, 0.1), ink)] if what < 0.9 else []


def robot() -> list[Part]:
    """Returns the mecha robot: always the same character."""
    shell, joint, foot = (112, 160, 164), (70, 84, 100), (58, 70, 88)
    antenna = [stroke([(0, -0.6), (0, -0.8)], 0.1, joint), oval((0, -0.82), (0.15, 0.15), (226, 58, 54))]
    arms = mirrored([stroke([(0.42, 0.34), (0.74, 0.5)], 0.17, joint), oval((0.76, 0.52), (0.17, 0.17), (226, 58, 54))])
    legs = mirrored([box((0.1, 0.62), (0.34, 0.9), 0.04, joint), box((0.06, 0.8), (0.44, 0.98), 0.08, foot)])
    ears = mirrored([box((0.58, -0.44), (0.8, -0.12), 0.06, (226, 58, 54))])
    head = box((-0.66, -0.66), (0.66, 0.14), 0.22, shell)
    eyes = mirrored([oval((0.3, -0.3), (0.25, 0.25), (255, 214, 56)), oval((0.29, -0.28), (0.09, 0.09), INK)])
    mouth = replace(box((-0.24, -0.02), (0.24, 0.08), 0.05, INK), edged=False)
    body = box((-0.46, 0.16), (0.46, 0.74), 0.14, shell)
    panel = box((-0.28, 0.27), (0.28, 0.6), 0.06, (52, 104, 214))
    return [*arms, *legs, body, panel, *antenna, *ears, head, *eyes, mouth]
