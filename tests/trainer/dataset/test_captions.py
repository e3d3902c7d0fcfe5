"""What is said of a picture: trigger, dropout, shuffling, and the frequency of tags."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.dataset.captions import caption_for, longest, tag_frequency, tags, with_trigger
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


def test_words_before_and_after_stand_between_trigger_and_tags() -> None:
    affixes = {"caption_prefix": "photo of", "caption_suffix": "in colour"}
    assert said("a cat, sitting", **affixes) == "photo of a cat, sitting in colour"
    assert said("a cat", trigger="sks", **affixes) == "sks, photo of a cat in colour"
    assert said("", **affixes) == "photo of in colour"
    assert said("a cat", caption_dropout=1.0, **affixes) == ""


def test_tags_are_left_out_as_often_as_asked_but_not_the_kept_ones() -> None:
    times = 2000
    texts = [said("a, b, c, d", seed, tag_dropout=0.25, keep_tokens=1, trigger="sks") for seed in range(times)]
    left = [tags(text) for text in texts]
    assert all(parts[:2] == ["sks", "a"] for parts in left)
    assert all([tag for tag in "bcd" if tag in parts] == parts[2:] for parts in left)
    for tag in "bcd":
        # 0.75 · 2000 = 1500 with a deviation of √(2000 · 0.75 · 0.25) = 19.4
        assert abs(sum(tag in parts for parts in left) - 1500) < 100
    assert said("a, b, c", tag_dropout=1.0) == ""
    assert said("a, b, c", tag_dropout=1.0, keep_tokens=2) == "a, b"


def test_tags_stand_between_the_separators_that_were_chosen() -> None:
    settings = {"caption_separator": ";", "shuffle_captions": True, "keep_tokens": 1, "trigger": "sks"}
    texts = {said("one, two; b ;c", seed, **settings) for seed in range(20)}
    assert texts == {"sks; one, two; b; c", "sks; one, two; c; b"}
    assert tag_frequency({"f": ["a, b; c"]}, "sks", ";") == {"f": {"sks": 1, "a, b": 1, "c": 1}}


def test_of_alternatives_and_lines_each_is_chosen_alike() -> None:
    texts = [said("a {red|green|blue} cat\nb", seed, wildcards=True) for seed in range(3000)]
    counts = {text: texts.count(text) for text in set(texts)}
    assert set(counts) == {"a red cat", "a green cat", "a blue cat", "b"}
    # half are the second line; a third of the others each colour: 1500 ± 27 and 500 ± 20
    assert abs(counts.pop("b") - 1500) < 140
    assert all(abs(count - 500) < 100 for count in counts.values())


def test_wildcards_know_braces_and_leave_alone_what_they_do_not_know() -> None:
    assert said("{{a|b}} {c} {", wildcards=True) == "{a|b} c {"
    assert said("{a|a}, {|}x", wildcards=True, caption_prefix="{p|p}") == "p a, x"
    assert said("{a|b}") == "{a|b}"
    assert said("", wildcards=True) == ""


def test_the_longest_that_may_be_said_is_known() -> None:
    settings = Dataset(wildcards=True, caption_suffix="end")
    assert longest("a {b|long one} c\nd", settings) == ["a long one c end", "d end"]
    assert longest("a {b|c}", Dataset()) == ["a {b|c}"]
