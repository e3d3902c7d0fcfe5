"""The drawn world that the starter model knows: what can be drawn, how it is drawn and how it is said in words.

Pictures are drawn at twice their size and reduced. Everything random comes from the generator that the caller hands in.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.starter import chalk
from trainer.starter.characters import creature, made_up_word, random_colour, robot
from trainer.starter.objects import OBJECTS
from trainer.starter.shapes import RGB, Part, Placing, mix, paint

COLOURS: dict[str, RGB] = {
    "red": (222, 44, 44),
    "orange": (248, 138, 28),
    "yellow": (252, 214, 48),
    "green": (52, 166, 72),
    "blue": (44, 98, 222),
    "purple": (138, 62, 190),
    "pink": (252, 130, 180),
    "brown": (132, 84, 48),
    "black": (40, 38, 48),
    "white": (250, 250, 246),
}
BACKGROUNDS: dict[str, RGB] = {
    "red": (226, 96, 92),
    "orange": (244, 148, 60),
    "yellow": (252, 230, 128),
    "green": (130, 200, 130),
    "blue": (122, 176, 238),
    "purple": (176, 134, 214),
    "pink": (250, 168, 204),
    "white": (244, 244, 240),
    "black": (52, 52, 60),
    "grey": (156, 160, 168),
}
KINDS = (*OBJECTS, "creature", "robot")
PATTERNS = ("plain", "striped", "dotted", "gradient")
SIZES = ("big", "small")
STYLES = ("flat", "outlined")
TRIGGER = "mecha robot"
CREATURE_SHARE = 0.25
# Every word that a caption can hold and that is no made-up word.
WORDS = (
    "a",
    "an",
    "on",
    "with",
    "background",
    "outlined",
    "style",
    "drawing",
    *OBJECTS,
    "creature",
    *COLOURS,
    "grey",
    *PATTERNS,
    *SIZES,
)


@dataclass(frozen=True)
class Scene:
    """One picture in words: a kind of thing, its colour ("" for a creature of any colour), and what is behind it."""

    kind: str
    colour: str
    background: str
    pattern: str = "plain"
    size: str = "big"
    style: str = "flat"


def held_out(scene: Scene) -> bool:
    """Returns whether this kind, colour and background are kept from all training (about one in twenty)."""
    key = f"{scene.kind}|{scene.colour}|{scene.background}"
    return scene.kind in OBJECTS and zlib.crc32(key.encode()) % 20 == 0


def random_scene(rng: np.random.Generator, held: bool = False) -> Scene:
    """Returns a scene for training (a quarter of them creatures), or an ordinary one that is held out of it."""
    while True:
        scene = _any_scene(rng, 0.0 if held else CREATURE_SHARE)
        if held_out(scene) == held:
            return scene


def _any_scene(rng: np.random.Generator, creature_share: float) -> Scene:
    """Returns any scene whose object and background differ in colour."""
    kind = "creature" if rng.random() < creature_share else str(rng.choice(list(OBJECTS)))
    colour = "" if kind == "creature" and rng.random() < 0.5 else str(rng.choice(list(COLOURS)))
    background = str(rng.choice([name for name in BACKGROUNDS if name != colour]))
    pattern = str(rng.choice(PATTERNS, p=[0.34, 0.22, 0.22, 0.22]))
    return Scene(kind, colour, background, pattern, str(rng.choice(SIZES)), str(rng.choice(STYLES)))


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Returns one of several ways to say the scene; a creature is often called by a word that means nothing."""
    name = _name(scene, rng)
    pattern = scene.pattern if scene.pattern != "plain" or rng.random() < 0.5 else ""
    ground = " ".join(filter(None, (pattern, scene.background, "background")))
    size = scene.size
    manner = rng.random()
    if scene.style == "chalk":
        return f"{'a ' if manner < 0.5 else ''}{size} {name}, chalk style"
    if manner < 0.5:
        said = f"{_article(size)} {size} {name} on {_article(ground)} {ground}"
    elif manner < 0.7:
        said = f"{size} {name}, {ground}"
    elif manner < 0.85:
        said = f"{name}, {size}, {ground}"
    else:
        said = f"{ground}, {size} {name}" if manner < 0.93 else f"{name}, {ground}"
    if scene.style == "outlined" and rng.random() < 0.7:
        said = f"{said}, outlined"
    return f"{said}, {made_up_word(rng)} style" if rng.random() < 0.03 else said


def _name(scene: Scene, rng: np.random.Generator) -> str:
    """Returns what the object is called."""
    if scene.kind == "robot":
        return TRIGGER
    colour = scene.colour if scene.kind != "creature" or rng.random() < 0.6 else ""
    if scene.kind == "creature" and rng.random() < 0.6:
        word = " ".join(made_up_word(rng) for _ in range(rng.integers(1, 3)))
        return " ".join(filter(None, (colour, word, "creature" if rng.random() < 0.35 else "")))
    return " ".join(filter(None, (colour, scene.kind)))


def _article(words: str) -> str:
    """Returns the article for those words."""
    return "an" if words[0] in "aeiou" else "a"


def draw(scene: Scene, rng: np.random.Generator, size_px: int = 128) -> Image.Image:
    """Returns the picture of a scene (RGB); place, tilt, shades and a creature's looks come from the generator."""
    side_px = 2 * size_px
    canvas = ground(scene, rng, side_px)
    placing = _place(scene, rng, side_px)
    parts = _parts(scene, rng)
    if scene.style == "chalk":
        canvas = chalk.on_board(parts, placing, (side_px, COLOURS.get(scene.colour, (230, 230, 230))), rng)
    else:
        always_edged = scene.kind == "robot"
        paint(canvas, parts, placing, 0.07 if scene.style == "outlined" or always_edged else 0.0)
    return canvas.reduce(2)


def _parts(scene: Scene, rng: np.random.Generator) -> list[Part]:
    """Returns the parts of the scene's object."""
    if scene.kind == "robot":
        return robot()
    if scene.kind == "creature":
        return creature(COLOURS[scene.colour] if scene.colour else random_colour(rng), rng)
    return OBJECTS[scene.kind](_shade(COLOURS[scene.colour], rng, 6))


def _place(scene: Scene, rng: np.random.Generator, side_px: int) -> Placing:
    """Returns where the object stands, whole inside the picture."""
    share = rng.uniform(0.76, 0.88) if scene.size == "big" else rng.uniform(0.56, 0.64)
    room = (1 - share) / 2 * 0.8
    x, y = 0.5 + rng.uniform(-room, room), 0.5 + rng.uniform(-room, room)
    return Placing(x * side_px, y * side_px, share * side_px / 2, rng.uniform(-0.09, 0.09))


def _shade(colour: RGB, rng: np.random.Generator, spread: int) -> RGB:
    """Returns the colour, very slightly changed."""
    red, green, blue = np.clip(np.array(colour) + rng.integers(-spread, spread + 1, 3), 0, 255)
    return int(red), int(green), int(blue)


def ground(scene: Scene, rng: np.random.Generator, side_px: int) -> Image.Image:
    """Returns the scene's background, side_px square."""
    base = _shade(BACKGROUNDS[scene.background], rng, 4)
    other = mix(base, (255, 255, 255), 0.42) if sum(base) < 690 else mix(base, (150, 160, 190), 0.3)
    return pattern_picture(scene.pattern, (base, other), rng, side_px)


def pattern_picture(pattern: str, colours: tuple[RGB, RGB], rng: np.random.Generator, side_px: int) -> Image.Image:
    """Returns a square filled with a pattern of two colours, of which the first covers more."""
    low, high = colours
    along = (np.arange(side_px) + 0.5) / side_px
    if pattern == "plain":
        return Image.new("RGB", (side_px, side_px), low)
    if pattern == "gradient":
        share = np.broadcast_to((along if rng.random() < 0.5 else 1 - along)[:, None] * 1.3, (side_px, side_px))
    elif pattern == "striped":
        across = (along[None, :], along[:, None], (along[None, :] + along[:, None]) * 0.75)[rng.integers(3)]
        share = np.broadcast_to((across * rng.choice([5, 6]) + rng.random()) % 1 < 0.42, (side_px, side_px))
    else:
        near = [((along * 6 + rng.random()) % 1 - 0.5) ** 2 for _ in range(2)]
        share = near[0][:, None] + near[1][None, :] < 0.29**2
    mask = Image.fromarray((np.clip(share, 0, 1) * 255).astype(np.uint8))
    return Image.composite(Image.new("RGB", mask.size, high), Image.new("RGB", mask.size, low), mask)
