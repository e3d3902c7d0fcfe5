"""One thing found wrong with a data set, in plain words."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.job.words import say

Level = Literal["error", "warning"]
NAMES_SHOWN = 5
LISTED = 10


@dataclass(frozen=True)
class Problem:
    """What is wrong and why (`text`), what to do (`advice`), the file or folder meant, and the setting to show it at.

    `mend` is the value of that setting which the advice means, "" where it means none. With an error nothing can be
    trained; a warning says what is done instead.
    """

    level: Level
    text: str
    path: str
    advice: str
    setting: str = "dataset.folder"
    mend: str = ""

    @property
    def sentence(self) -> str:
        """Both parts, for a terminal or a log."""
        return f"{self.text}. {self.advice}."


def problem(
    level: Level, key: str, path: str | os.PathLike[str] = "", setting: str = "dataset.folder", **values: object
) -> Problem:
    """The problem whose words stand under `key` and `key`_advice, with {path} and `values` filled in."""
    where = os.fspath(path)
    text, advice = (say(part, path=where, **values) for part in (key, f"{key}_advice"))
    return Problem(level, printable(text), printable(where), printable(advice), setting)


def printable(text: str) -> str:
    """`text` as any terminal and any JSON can show it: a file's name on Linux may be no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def some(names: Sequence[str]) -> str:
    """The first few of `names` for a sentence, with a mark when there are more."""
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def capped(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The first few of `problems` of one kind, and one that counts the rest: nobody reads thousands of sentences."""
    if len(problems) <= LISTED + 1:
        return tuple(problems)
    last = problems[LISTED - 1]
    more = problem(last.level, "data_more", os.path.dirname(last.path), last.setting, count=len(problems) - LISTED)
    return (*problems[:LISTED], more)
