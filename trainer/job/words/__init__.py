"""The table of every sentence that the trainer shows to a person, one JSON file a language."""

import functools
import json
import pathlib
import types
from collections.abc import Mapping


@functools.cache
def table(language: str = "en") -> Mapping[str, str]:
    """The sentences of `language` by key; placeholders are in `str.format` braces."""
    path = pathlib.Path(__file__).with_name(f"{language}.json")
    return types.MappingProxyType(json.loads(path.read_text(encoding="utf-8")))


def say(key: str, **values: object) -> str:
    """The sentence `key` with its placeholders filled in. Raises KeyError for a key that the table lacks."""
    return table()[key].format(**values)
