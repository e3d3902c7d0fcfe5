"""JSON as people leave it when they edit a preset by hand: with comments and commas too many."""

import json
import math
import re
from typing import Any

_EXTRA = re.compile(r"""("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|(?<![\w"])\#[^\n]*""", re.DOTALL)
_LAST_COMMA = re.compile(r"""("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])""", re.DOTALL)


def loads(text: str) -> tuple[Any, list[str]]:
    """The value in `text`, and which names an object in it holds twice: the last one counts, as everywhere.

    Raises ValueError with a sentence, RecursionError for what is nested too deeply.
    """
    doubled: dict[str, None] = {}

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            doubled.update(dict.fromkeys(name for name in found if names.count(name) > 1))
        return found

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=_whole), list(doubled)
    except json.JSONDecodeError as error:
        strict = error
    doubled.clear()
    bare = _LAST_COMMA.sub(r"\1", _EXTRA.sub(r"\1", text))
    try:
        return json.loads(bare, object_pairs_hook=unique, parse_int=_whole), list(doubled)
    except json.JSONDecodeError:
        raise ValueError(f"{strict.msg} (line {strict.lineno}, column {strict.colno})") from None


def _whole(digits: str) -> float:
    # Python reads no number of thousands of digits, as there are none that could be meant.
    return int(digits) if len(digits) < 1000 else math.inf
