"""What somebody else has named or written stands in a sentence without changing the rest of it."""

import pathlib

import pytest

from app.words import say as app_says
from trainer.job.kohya_import import values
from trainer.job.words import LONGEST_VALUE, say, shown

TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029", *TURNING])
def test_a_name_turns_no_sentence_round_and_commands_no_terminal(sign: str) -> None:
    name = f"a{sign}gnp.json"
    for sentence in (
        say("file_missing", path=name),
        say("file_missing", path=pathlib.Path(name)),
        say("file_unreadable", path="a", reason=OSError(2, "gone", name)),
        say("file_unreadable", path="a", reason=ValueError(name)),
        app_says("bar.queued", name=name),
        values.shown(name),
        values.shown([name]),
    ):
        assert sign not in sentence
        assert "gnp.json" in sentence


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("夕方の窓辺", "שלום", "مرحبا", "e\u0301", "👩\u200d🎨", "a\tb\nc", "C:\\x"):
        assert shown(text) == text


def test_a_long_text_is_cut() -> None:
    assert len(str(shown("x" * 5000))) == LONGEST_VALUE
