"""The drawn world: what is drawn is repeatable, what is said fits it, and what is held out stays out."""

import subprocess
import sys

import numpy as np
import pytest

from trainer.starter.characters import made_up_word
from trainer.starter.world import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    OBJECTS,
    STYLES,
    TRIGGER,
    WORDS,
    Scene,
    caption,
    draw,
    held_out,
    random_scene,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", [*STYLES, "chalk"])
def test_a_scene_is_drawn_the_same_from_the_same_seed(kind: str, style: str) -> None:
    scene = Scene(kind, "red", "blue", "striped", "big", style)
    first, again = draw(scene, rng()), draw(scene, rng())
    assert first.size == (128, 128)
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes()
    assert np.asarray(first).std() > 10


def test_creatures_are_never_twice_the_same() -> None:
    generator, scene = rng(), Scene("creature", "red", "white")
    assert len({draw(scene, generator).tobytes() for _ in range(20)}) == 20


def test_the_robot_is_always_the_same_character() -> None:
    generator, teal = rng(), np.array((112, 160, 164))
    for _ in range(5):
        pixels = np.asarray(draw(Scene("robot", "", "white"), generator)).astype(int)
        assert (np.abs(pixels - teal).sum(2) < 12).mean() > 0.05


def test_about_one_in_twenty_combinations_is_held_out_and_never_drawn_for_training() -> None:
    scenes = [
        Scene(kind, colour, ground)
        for kind in OBJECTS
        for colour in COLOURS
        for ground in BACKGROUNDS
        if colour != ground
    ]
    assert 0.03 < np.mean([held_out(scene) for scene in scenes]) < 0.08
    generator = rng()
    assert not any(held_out(random_scene(generator)) for _ in range(3000))
    assert all(held_out(random_scene(generator, held=True)) for _ in range(50))


def test_held_out_depends_on_kind_colour_and_background_alone() -> None:
    held = random_scene(rng(), held=True)
    assert held_out(Scene(held.kind, held.colour, held.background, "dotted", "small", "outlined"))


def test_a_quarter_of_the_training_pictures_are_creatures_and_none_is_the_robot() -> None:
    generator = rng()
    kinds = [random_scene(generator).kind for _ in range(2000)]
    assert 0.2 < kinds.count("creature") / len(kinds) < 0.3
    assert "robot" not in kinds


def test_captions_of_ordinary_objects_name_kind_colour_and_background() -> None:
    generator = rng()
    for _ in range(300):
        scene = random_scene(generator)
        said = caption(scene, generator).replace(",", "").split()
        assert scene.background in said
        if scene.kind in OBJECTS:
            assert scene.kind in said
            assert scene.colour in said
            assert set(said) <= {*WORDS} or said[-1] == "style"


def test_captions_of_creatures_often_use_words_that_mean_nothing() -> None:
    generator = rng()
    said = [caption(Scene("creature", "", "blue"), generator).replace(",", "").split() for _ in range(300)]
    unknown = [any(word not in WORDS for word in words) for words in said]
    assert 0.4 < np.mean(unknown) < 0.8


def test_robot_and_chalk_captions_hold_their_triggers() -> None:
    generator = rng()
    assert all(TRIGGER in caption(Scene("robot", "", "blue"), generator) for _ in range(50))
    assert all(
        caption(Scene("cat", "red", "black", style="chalk"), generator).endswith("red cat, chalk style")
        for _ in range(50)
    )


def test_made_up_words_use_every_letter() -> None:
    generator = rng()
    assert len(set("".join(made_up_word(generator) for _ in range(500)))) == 26


def test_the_world_is_drawn_without_torch() -> None:
    code = "import sys, trainer.starter.world, trainer.starter.examples; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
