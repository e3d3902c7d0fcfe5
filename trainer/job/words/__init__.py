"""The table of every sentence that the trainer shows to a person, one JSON file a language."""

import functools
import json
import pathlib
import types
from collections.abc import Mapping


@functools.cache
def read_table(folder: pathlib.Path, language: str) -> Mapping[str, str]:
    """The table of `language` in `folder`: words by key, with placeholders in `str.format` braces."""
    return types.MappingProxyType(json.loads((folder / f"{language}.json").read_text(encoding="utf-8")))


def table(language: str = "en") -> Mapping[str, str]:
    """The sentences of `language` by key."""
    return read_table(pathlib.Path(__file__).parent, language)


def say(key: str, **values: object) -> str:
    """The sentence `key` with its placeholders filled in. Raises KeyError for a key that the table lacks."""
    return table()[key].format(**values)
