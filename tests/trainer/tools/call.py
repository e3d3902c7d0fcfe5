"""Calls the command line in this process, as `python -m trainer …` would."""

import pathlib
from typing import NamedTuple

import pytest

from trainer.__main__ import main


class Done(NamedTuple):
    """The exit status and what was printed."""

    status: int
    output: str
    errors: str


def trainer(capsys: pytest.CaptureFixture[str], *words: object) -> Done:
    """What a verb did."""
    capsys.readouterr()
    try:
        status = main([str(word) for word in words])
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return Done(status, printed.out, printed.err)


def refused(capsys: pytest.CaptureFixture[str], out: pathlib.Path, *words: object) -> str:
    """The one sentence with which a verb refuses; nothing was written to `out`, nor beside it."""
    before = sorted(out.parent.iterdir()) if out.parent.is_dir() else []
    done = trainer(capsys, *words)
    assert (done.status, done.output) == (2, "")
    assert (sorted(out.parent.iterdir()) if out.parent.is_dir() else []) == before
    sentence = done.errors.removeprefix("problem: ").removesuffix("\n")
    assert done.errors == f"problem: {sentence}\n"
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert ". " not in sentence
    return sentence
