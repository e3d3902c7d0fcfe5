"""Every error that a person can meet is raised by a test."""

import ast
import collections
import re
from collections.abc import Iterator, Set

from tests.house.tree import parsed, sources
from trainer.job.words import table

RAISING = frozenset({"Refused", "Trouble", "fault", "problem", "_warn", "_invalid", "_trouble"})
WORDS_IN_A_ROW = 2
"""So many words of a sentence, or all of a shorter one, are taken for it; its key in quotes is, too."""


def keys_raised() -> Set[str]:
    """The keys of all sentences with advice, and of those that an exception is made of; some are all placeholder.

    What the doctor says is no error and has tests of its own for each verdict.
    """
    found = {key.removesuffix("_advice") for key in table() if key.endswith("_advice")}
    for path in sources("trainer"):
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        found |= {text for call in calls if _name(call.func) in RAISING for text in _texts(call) if text in table()}
    return {key for key in found if telling(key) and not key.startswith("doctor_")}


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _texts(call: ast.Call) -> list[str]:
    return [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]


def texts_of_tests() -> Iterator[str]:
    """Every text in a test, without the backslashes of a regular expression."""
    for path in sources("tests"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value.replace("\\", "")


def telling(key: str) -> list[str]:
    """The pieces of the sentences of `key` of which one is enough to tell it, unless it stands in another one too."""
    rows = [part.split() for text in _sentences(key) for part in re.split(r"\{[^}]*\}", text)]
    lengths = [min(len(row), WORDS_IN_A_ROW) for row in rows]
    few = max(lengths, default=0)
    parts = [row[at : at + few] for row in rows for at in range(len(row) - few + 1)]
    return [piece for row in (*rows, *parts) if len(row) >= few and (piece := " ".join(row).strip(" .,:;()"))]


def _sentences(key: str) -> list[str]:
    return [table()[key], *([table()[f"{key}_advice"]] if f"{key}_advice" in table() else [])]


def test_every_error_is_raised_by_a_test() -> None:
    everything, keys = "\n".join(["", *texts_of_tests(), ""]), keys_raised()
    assert len(keys) > 100
    pieces = {key: set(telling(key)) for key in keys}
    used = collections.Counter(piece for some in pieces.values() for piece in some)
    missing = [
        key
        for key, some in pieces.items()
        if f"\n{key}\n" not in everything and not any(used[piece] == 1 and piece in everything for piece in some)
    ]
    assert not sorted(missing)
