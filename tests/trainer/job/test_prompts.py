"""Kohya's prompt lines."""

import pytest

from trainer.job.prompts import Prompt, read_prompt


@pytest.mark.parametrize(
    ("line", "prompt"),
    [
        ("a cat", Prompt("a cat")),
        (
            "a cat --n bad, worse --w 515 --h 768 --d 7 --l 4.5 --s 12",
            Prompt("a cat", "bad, worse", 512, 768, 7, 4.5, 12),
        ),
        ("a --d 1 --n ", Prompt("a", "", seed=1)),
        ("w 3 people, 1girl --x y", Prompt("w 3 people, 1girl --x y")),
        ("  猫  --s 5", Prompt("猫", steps=5)),
        ("猫　--w　512\t--s\t5", Prompt("猫", width_px=512, steps=5)),
    ],
)
def test_a_line_is_read(line: str, prompt: Prompt) -> None:
    assert read_prompt(line) == prompt


@pytest.mark.parametrize(
    "line", ["a --w x", "a --d -1", "a --s 0", "a --l 900", "--w 512", "", "a --h 8", "a --d 99999999999999"]
)
def test_a_line_that_cannot_be_meant_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"needs|between|empty"):
        read_prompt(line)
