"""One line of what the doctor says, in words that may be shown to anybody: no user name, no secret."""

import dataclasses
import os
import pathlib
import re
from typing import Any, Literal

from trainer.job.words import say, table

Ok = Literal["yes", "note", "no"]
"""All is well · worth knowing · wrong."""
_LONGEST = 600
_OF_A_USER = re.compile(r"(?i)([\\/](?:home|users|media)[\\/])[^\\/\s'\":]+")


@dataclasses.dataclass(frozen=True)
class Line:
    """`name` says what was looked at, `text` what was found, `advice` and `command` what to do about it."""

    name: str
    ok: Ok
    text: str
    advice: str = ""
    command: str = ""

    @property
    def title(self) -> str:
        """`name` for a person."""
        return say(f"doctor_title_{self.name}")

    def told(self) -> dict[str, str]:
        """The line as plain values."""
        return {**dataclasses.asdict(self), "title": self.title}


def line(name: str, ok: Ok, key: str, command: str = "", **values: Any) -> Line:
    """A line in the words `doctor_<key>` and, where there are such, `doctor_<key>_advice`."""
    advice = f"doctor_{key}_advice"
    said = say(advice, **values) if advice in table() else ""
    return Line(name, ok, private(say(f"doctor_{key}", **values)), private(said), private(command))


def private(text: str) -> str:
    """`text`, cut to a length worth reading, with ~ for the user's own folder and … for the name of a user."""
    own = os.path.expanduser("~").rstrip("\\/")
    if len(own) > 1:
        text = re.sub(rf"{re.escape(own)}(?![\w.-])", "~", text, flags=re.IGNORECASE if os.name == "nt" else 0)
    text = _OF_A_USER.sub(r"\1…", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def shown(path: str | pathlib.Path) -> str:
    """A path, or another word, as an argument of a command."""
    text, own = str(path), os.path.expanduser("~")
    if os.name != "nt" and text.startswith(f"{own}/"):  # a shell leaves a ~ in quotes as it is
        return f"~/{shown(text[len(own) + 1 :])}"
    return f'"{text}"' if re.search(r"[^\w./\\:+-]", text) else text
