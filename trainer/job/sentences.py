"""pydantic's errors as sentences of the table."""

import types
from collections.abc import Mapping
from typing import Any

from trainer.job.words import say

_TEMPLATES: Mapping[str, tuple[str, str]] = types.MappingProxyType(
    {
        "one_of": ("not_a_choice", "choices"),
        "greater_than_equal": ("below", "ge"),
        "greater_than": ("not_above", "gt"),
        "less_than_equal": ("above", "le"),
        "less_than": ("not_below", "lt"),
        "float_parsing": ("not_a_number", ""),
        "float_type": ("not_a_number", ""),
        "finite_number": ("not_a_number", ""),
        "int_parsing": ("not_a_whole_number", ""),
        "int_parsing_size": ("not_a_whole_number", ""),
        "int_type": ("not_a_whole_number", ""),
        "int_from_float": ("not_a_whole_number", ""),
        "bool_parsing": ("not_a_switch", ""),
        "bool_type": ("not_a_switch", ""),
        "string_type": ("not_text", ""),
        "list_type": ("not_a_list", ""),
        "tuple_type": ("not_a_list", ""),
        "missing": ("empty", ""),
        "string_too_short": ("empty", ""),
        "string_too_long": ("too_long", "max_length"),
        "multiple_of": ("not_a_multiple", "multiple_of"),
    }
)


def sentence(details: Any, title: str) -> str:
    """One entry of `ValidationError.errors()` as a sentence about the thing called `title`."""
    key, name = _TEMPLATES.get(details["type"], ("invalid", ""))
    value = details.get("ctx", {}).get(name, details["msg"])
    value = f"{value:g}" if isinstance(value, float) else value
    return say(key, title=title, limit=value, choices=value, reason=value)
