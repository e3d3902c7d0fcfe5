"""Odd inputs, made from whole ones: what a bad disk, a bad program or a bad person makes of a file."""

import copy
import json
import math
import random
import string
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")

HUGE = 10**4000
"""Nearly more digits than Python turns into text; with more it could not be told what failed."""
NUMBERS: tuple[Any, ...] = (0, -1, 1, 2**31, -(2**63), 2**64, 10**30, HUGE, 1e308, -1e-308, float("nan"), float("inf"))
TEXTS = (
    *("", " ", "\0", "\ud800", "a\nb", "\x1b[31m", "../../x", "{title}", "{0.__class__}", "%s%n", "<script>x</script>"),
    *("ｆｕｌｌ１２", "e\u0301", "\u202ex", "🤖" * 50, "a" * 70_000, "NaN", "None", "1e999", "-0"),
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": ""}, [1, "a", None, {}], {"a": [{}]})


_SIGNS = string.printable + "\0\x1b\x85\xa0éß\u2028\ufeff桜ｗ１\ud800\udfff🤖"


def made(make: Callable[[random.Random], T]) -> SearchStrategy[T]:
    """What `make` makes by chance. Of a seed, not of many draws: a hundred times as many inputs in the same time."""
    return st.randoms(use_true_random=True).map(make)


def values() -> SearchStrategy[Any]:
    """Anything that JSON can hold, most of it what nobody expects."""
    return made(_value)


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if kind < 0.3:
        return copy.deepcopy(rng.choice((*NUMBERS, *TEXTS, *OTHERS)))
    if kind < 0.5:
        return _text(rng)
    if kind < 0.65:
        return rng.choice((rng.randint(-3, 3000), rng.getrandbits(70), -rng.getrandbits(40)))
    if kind < 0.75 or depth > 2:
        return rng.choice((rng.uniform(-2, 2), math.ldexp(rng.random(), rng.randint(-1070, 1020))))
    inner = [_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    return inner if kind < 0.87 else {_text(rng): value for value in inner}


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(_SIGNS, k=rng.randint(0, 8)))


def as_json(value: Any) -> bytes:
    """`value` as JSON in the way of Python, which knows NaN and halves of characters."""
    return json.dumps(value).encode()


def changed(whole: Sequence[Any]) -> SearchStrategy[Any]:
    """One of `whole` (nested dicts and lists) with some values replaced, taken away, added or doubled."""

    def make(rng: random.Random) -> Any:
        found = copy.deepcopy(rng.choice(whole))
        for _ in range(rng.randint(1, 4)):
            _spoil(rng, _place(rng, found))
        return found

    return made(make)


def _place(rng: random.Random, whole: Any) -> Any:
    inner = [each for each in (whole.values() if isinstance(whole, dict) else whole) if isinstance(each, dict | list)]
    return _place(rng, rng.choice(inner)) if inner and rng.random() < 0.8 else whole


def _spoil(rng: random.Random, place: Any) -> None:
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    what = rng.random() if keys else 1.0
    if what < 0.6:
        place[rng.choice(keys)] = _value(rng)
    elif what < 0.75:
        del place[rng.choice(keys)]
    elif isinstance(place, dict):
        place[rng.choice((*TEXTS[:-5], *keys, "x", "About", "__proto__"))] = _value(rng)
    else:
        place.append(_value(rng))


def damaged(whole: Sequence[bytes], words: Sequence[bytes] = ()) -> SearchStrategy[bytes]:
    """One of `whole` with bytes changed, cut off, put in, doubled or of another of `whole`; `words` are put in too."""

    def make(rng: random.Random) -> bytes:
        content = bytearray(rng.choice(whole))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 20))):
            _damage(rng, content, whole, words)
        return bytes(content)

    return made(make)


def _damage(rng: random.Random, content: bytearray, whole: Sequence[bytes], words: Sequence[bytes]) -> None:
    at = rng.randint(0, min(rng.choice((16, 64, 256, 2**30)), len(content)))
    what = rng.choice(("flip", "flip", "flip", "put", "cut", "drop", "double", "splice", "extreme", "extreme"))
    if what == "flip":
        content[at : at + 1] = bytes([rng.randrange(256)])
    elif what == "put":
        content[at:at] = rng.choice((*words, bytes(64), rng.randbytes(rng.randint(1, 8))))
    elif what == "cut" and rng.random() < 0.3:
        del content[at:]
    elif what == "drop":
        del content[at : at + rng.randint(1, 32)]
    elif what == "double":
        content[at:at] = content[at : at + rng.randint(1, 200)]
    elif what == "splice":
        content[at:] = rng.choice(whole)[at:]
    elif what == "extreme":
        size = rng.choice((1, 2, 4, 8))
        content[at : at + size] = rng.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * size


def damaged_text(whole: Sequence[str], words: Sequence[str]) -> SearchStrategy[str]:
    """One of `whole` with some of `words`, or any text, put in or in place of something."""

    def make(rng: random.Random) -> str:
        content = rng.choice(whole)
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            at = rng.randint(0, len(content))
            until = rng.choice((at, at, at + rng.randint(0, 20)))
            piece = rng.choice((*words, _text(rng), _text(rng)))
            content = content[:at] + piece * rng.choice((1, 1, 1, 1, 50)) + content[until:]
        return content

    return made(make)
