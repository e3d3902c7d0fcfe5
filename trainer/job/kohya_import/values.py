"""Kohya's values as they are meant: its files hold the same number as 1, 1.0, "1", "" or false, depending on age."""

import json
import math
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from trainer.job import words
from trainer.job.words import say

HIDDEN = "(hidden)"
_SHOWN_CHARS = 100
_DEEPEST = 20
_SECRET_NAME = re.compile(r"(?:^|[_.-])(?:api_?key|token|secret|password|passwd|credentials?)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\bhf_[A-Za-z0-9]{16,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")
_PLACEHOLDER = re.compile(r"^put (?:the|your)\b.*\bhere\b", re.IGNORECASE)
_ON = frozenset({"true", "yes", "on", "1", "1.0"})
_OFF = frozenset({"false", "no", "off", "0", "0.0"})


class Unusable(ValueError):
    """A value that cannot be meant; the text says why."""


def is_empty(value: Any) -> bool:
    """Whether nothing was given. 0 and false are something."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "none", "null")
    return value is None or (isinstance(value, list | dict) and not value)


def is_placeholder(value: Any) -> bool:
    """Whether this is what a preset holds in place of a path: "put the full path to … here"."""
    return isinstance(value, str) and bool(_PLACEHOLDER.match(value.strip()))


def number(value: Any) -> float:
    """The finite number that is meant. Raises Unusable."""
    value = _single(value)
    if isinstance(value, str):
        value = unicodedata.normalize("NFKC", value).strip().removesuffix("%")
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise Unusable(say("kohya_not_a_number")) from None
    if not math.isfinite(found):
        raise Unusable(say("kohya_not_a_number"))
    return found


def whole(value: Any) -> int:
    """The whole number that is meant. Raises Unusable."""
    found = number(value)
    if found != int(found):
        raise Unusable(say("kohya_not_whole"))
    return int(found)


def switch(value: Any) -> bool:
    """The yes or no that is meant; a flag without a value is yes. Raises Unusable."""
    text = str(_single(value)).strip().lower()
    if text in _ON:
        return True
    if text in _OFF:
        return False
    raise Unusable(say("kohya_not_a_switch"))


def text(value: Any) -> str:
    """The text that is meant, without control characters; words are put together as with quotation marks that were
    forgotten in a command. Raises Unusable.
    """
    if isinstance(value, list) and len(value) > 1 and all(isinstance(word, str) for word in value):
        value = " ".join(value)
    value = _single(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unusable(say("kohya_not_text"))
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]+", " ", str(value)).strip()


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def same(value: Any, other: Any) -> bool:
    """Whether both mean the same, however they are written."""
    for read in (number, lambda given: str(given).strip().lower()):
        try:
            return bool(read(value) == read(other)) or _flag(value) == _flag(other) is not None
        except Unusable:
            continue
    return False


def _flag(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(str(value).strip().lower())


def is_off(value: Any, off: Iterable[Any]) -> bool:
    """Whether `value` is empty or means one of `off`."""
    return is_empty(value) or any(same(value, other) for other in off)


def is_secret(name: str) -> bool:
    """Whether a key of this name holds an access key."""
    return bool(_SECRET_NAME.search(name))


def without_secrets(value: Any, secrets: Iterable[str], depth: int = 0) -> Any:
    """`value` with every known access key, and whatever looks like one, blotted out of its texts.

    What is nested more deeply than anything of Kohya's is left out.
    """
    if isinstance(value, list | dict) and depth > _DEEPEST:
        return "…"
    if isinstance(value, list):
        return [without_secrets(item, secrets, depth + 1) for item in value]
    if isinstance(value, dict):
        pairs = ((without_secrets(key, secrets), item) for key, item in value.items())
        return {str(key): without_secrets(item, secrets, depth + 1) for key, item in pairs}
    if not isinstance(value, str):
        return value
    for secret in secrets:
        value = value.replace(secret, HIDDEN)
    # JSON can hold halves of characters, which no file can be written with.
    return _SECRET_VALUE.sub(HIDDEN, value.encode("utf-8", "replace").decode("utf-8"))


def shown(value: Any) -> str:
    """`value` in a few words for a person."""
    if isinstance(value, dict):
        return say("kohya_table", count=len(value))
    if isinstance(value, str):
        found = " ".join(value.split())
    else:
        try:
            found = json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            found = "…"
    found = str(words.shown(found))
    return found if len(found) <= _SHOWN_CHARS else found[: _SHOWN_CHARS - 1] + "…"
