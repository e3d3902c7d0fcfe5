"""What is said of a picture: trigger, dropout, shuffling, and the frequency of tags."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.dataset.captions import caption_for, tag_frequency, tags, with_trigger
from trainer.job.settings import Dataset

TAGS = st.lists(st.text("abcdefg ", min_size=1).filter(str.strip), min_size=1, max_size=8)


def said(text: str, seed: int = 0, **settings: object) -> str:
    """The caption under these settings."""
    return caption_for(text, Dataset.model_validate(settings), random.Random(seed))


@pytest.mark.parametrize(
    ("text", "trigger", "caption"),
    [
        ("a cat, sitting", "sks", "sks, a cat, sitting"),
        ("a cat", "", "a cat"),
        ("", "sks", "sks"),
        ("sks, a cat", "sks", "sks, a cat"),
        ("SKS, a cat", "sks", "SKS, a cat"),
        ("sks cat in snow", "sks cat", "sks cat in snow"),
        ("sksy thing", "sks", "sks, sksy thing"),
        ("cat_ears, tail", "cat", "cat, cat_ears, tail"),
        ("a,b,c", "a, b", "a,b,c"),
        ("a cat", "sks,", "sks, a cat"),
    ],
)
def test_the_trigger_comes_first_and_is_not_doubled(text: str, trigger: str, caption: str) -> None:
    assert with_trigger(text, trigger) == caption
    assert said(text, trigger=trigger) == caption


def test_without_shuffling_the_text_stays_as_written() -> None:
    assert said("one,two ,  three") == "one,two ,  three"


def test_dropout_drops_the_whole_caption_as_often_as_asked() -> None:
    dropped = sum(said("a cat", seed, caption_dropout=0.3, trigger="sks") == "" for seed in range(2000))
    assert 500 < dropped < 700
    assert said("a cat", caption_dropout=1.0) == ""


def test_shuffling_mixes() -> None:
    mixed = {said("a, b, c, d", seed, shuffle_captions=True) for seed in range(50)}
    assert len(mixed) > 10


@given(TAGS, st.integers(0, 9), st.sampled_from(("", "sks", "x, y")), st.integers(0, 2**32))
def test_shuffling_keeps_all_tags_and_the_first_ones_in_place(
    parts: list[str], keep: int, trigger: str, seed: int
) -> None:
    text = ", ".join(parts)
    shuffled = tags(said(text, seed, shuffle_captions=True, keep_tokens=keep, trigger=trigger))
    whole = tags(trigger) + tags(text)
    kept = len(tags(trigger)) + keep
    assert shuffled[:kept] == whole[:kept]
    assert sorted(shuffled) == sorted(whole)


@given(TAGS, st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_caption(parts: list[str], seed: int) -> None:
    text, settings = ", ".join(parts), {"shuffle_captions": True, "caption_dropout": 0.2}
    assert said(text, seed, **settings) == said(text, seed, **settings)


def test_a_trigger_that_stands_in_the_caption_stays_in_place() -> None:
    for seed in range(20):
        assert said("sks cat, b, c, d", seed, shuffle_captions=True, trigger="sks cat").startswith("sks cat, ")


def test_tags_are_counted_by_folder_in_lower_case() -> None:
    counted = tag_frequency({"25_cat": ["Cat, red", "cat , ,blue"], "2_dog": [""]}, "sks")
    assert counted == {"25_cat": {"sks": 2, "cat": 2, "red": 1, "blue": 1}, "2_dog": {"sks": 1}}
    assert tag_frequency({"2_dog": [""]}) == {"2_dog": {}}
