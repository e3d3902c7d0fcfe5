"""The table of every word that the app itself shows; what belongs to a setting comes from its declaration instead."""

import pathlib
from collections.abc import Mapping

from trainer.job.words import read_table, shown


def table(language: str = "en") -> Mapping[str, str]:
    """The words of `language` by key."""
    return read_table(pathlib.Path(__file__).parent, language)


def say(key: str, **values: object) -> str:
    """The words `key` with the placeholders filled in. Raises KeyError for a key that the table lacks."""
    return table()[key].format(**{name: shown(value) for name, value in values.items()})


def say_all(prefix: str) -> dict[str, str]:
    """Every entry below `prefix.` by the rest of its key, unfilled: what an island gets as its words."""
    start = prefix + "."
    return {key.removeprefix(start): words for key, words in table().items() if key.startswith(start)}
