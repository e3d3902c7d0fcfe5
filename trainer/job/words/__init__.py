"""The table of every sentence that the trainer shows to a person, one JSON file a language."""

import functools
import json
import pathlib
import re
import types
from collections.abc import Mapping

LONGEST_VALUE = 1000
"""So many characters of a name, a path or a text that somebody has typed say enough in a sentence."""
_LONG_NUMBER = 10**40
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Also what begins a new line or turns round the way in which all that follows is written (Unicode, annex 9)."""


@functools.cache
def read_table(folder: pathlib.Path, language: str) -> Mapping[str, str]:
    """The table of `language` in `folder`: words by key, with placeholders in `str.format` braces."""
    return types.MappingProxyType(json.loads((folder / f"{language}.json").read_text(encoding="utf-8")))


def table(language: str = "en") -> Mapping[str, str]:
    """The sentences of `language` by key."""
    return read_table(pathlib.Path(__file__).parent, language)


def say(key: str, **values: object) -> str:
    """The sentence `key` with its placeholders filled in. Raises KeyError for a key that the table lacks."""
    return table()[key].format(**{name: shown(value) for name, value in values.items()})


def shown(value: object) -> object:
    """`value` as it can stand in a sentence: short, nothing that cannot be written, of an error only why it came."""
    if isinstance(value, UnicodeDecodeError):
        return table()["not_utf8"]
    if isinstance(value, OSError) and value.strerror:
        return f"{value.strerror} ({shown(value.filename)})" if value.filename else value.strerror
    if isinstance(value, int) and abs(value) >= _LONG_NUMBER:
        return "…"
    if not isinstance(value, str | pathlib.PurePath | Exception):
        return value
    # A terminal or a page would obey a control character, and on Linux a file's name may be any bytes.
    text = _CONTROLS.sub("\ufffd", str(value)).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
