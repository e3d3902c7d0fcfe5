"""A sample prompt as a line in the syntax of Kohya's scripts: `a cat --n blurry --w 512 --h 768 --d 1 --l 7 --s 28`."""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

from trainer.job.words import say


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What one line asks for; None where the line leaves it to the settings."""

    text: str
    negative: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    seed: int | None = None
    guidance: float | None = None
    steps: int | None = None


@dataclasses.dataclass(frozen=True)
class _Option:
    field: str
    kind: type[int] | type[float]
    low: float
    high: float


_OPTIONS: Mapping[str, _Option] = MappingProxyType(
    {
        "w": _Option("width_px", int, 64, 4096),
        "h": _Option("height_px", int, 64, 4096),
        "d": _Option("seed", int, 0, 2**32 - 1),
        "l": _Option("guidance", float, 0, 50),
        "s": _Option("steps", int, 1, 200),
    }
)


def read_prompt(line: str) -> Prompt:
    """The prompt that `line` asks for. Sizes are rounded down to multiples of 8 px.

    A ` --word` that is not one of the options stays part of the text. Raises ValueError with a sentence for an option
    without a usable number and for an empty prompt.
    """
    text, *rest = re.split(r"\s--(?=[nwhdls](?:\s|$))", " " + line.strip())
    values: dict[str, int | float | str] = {}
    for part in rest:
        letter, value = part[0], part[1:].strip()
        if letter == "n":
            values["negative"] = value
        else:
            values[_OPTIONS[letter].field] = _number(letter, value)
    if not text.strip():
        raise ValueError(say("prompt_empty"))
    return Prompt(text.strip(), **values)  # type: ignore[arg-type]


def _number(letter: str, value: str) -> int | float:
    option = _OPTIONS[letter]
    try:
        number = option.kind(value)
    except ValueError:
        raise ValueError(say("prompt_option", option=f"--{letter}", value=f"'{value}'")) from None
    if not option.low <= number <= option.high:
        raise ValueError(say("prompt_range", option=f"--{letter}", low=option.low, high=option.high))
    return number // 8 * 8 if option.field.endswith("_px") else number
