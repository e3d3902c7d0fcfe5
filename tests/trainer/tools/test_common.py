"""Progress as a program reads it from a pipe."""

import itertools

import pytest

from trainer.tools.common import counted


def test_every_item_is_given_and_the_last_line_says_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(counted(list("abc"), "tensors")) == ["a", "b", "c"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1/3 tensors"
    assert lines[-1] == "3/3 tensors"


def test_lines_are_few_however_many_items(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: 100 + next(ticks) / 100)
    list(counted(range(100)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1/100 layers"
    assert lines[-1] == "100/100 layers"
    assert 4 <= len(lines) <= 7


def test_an_item_counts_only_once_it_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    items = counted([1, 2])
    next(items)
    assert capsys.readouterr().out == ""
    next(items)
    assert capsys.readouterr().out == "1/2 layers\n"
