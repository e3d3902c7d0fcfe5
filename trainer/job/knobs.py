"""What the sections of a job are made of: a setting with the words that a person reads of it, and a frozen section."""

import re
from typing import Any

import pydantic
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from trainer.job.words import say


def knob(default: Any, title: str, help: str, **rules: Any) -> Any:
    """A pydantic field that also carries what a person reads of it.

    `rules` are `unit`, `level` (basic or advanced), `needs`, and pydantic's own (ge, le, …).
    """
    extra = {name: rules.pop(name, empty) for name, empty in (("unit", ""), ("level", "basic"), ("needs", ""))}
    return pydantic.Field(default, title=title, description=help, json_schema_extra=extra, **rules)


def _numbers(given: Any) -> Any:
    """What a person types ("1, 1, 0.5", or one number a line) as a list; a single number too."""
    if isinstance(given, str):
        return [part for part in re.split(r"[\s,;、]+", given.strip("[]() \t\r\n")) if part]
    return [given] if isinstance(given, int | float) and not isinstance(given, bool) else given


Numbers = pydantic.BeforeValidator(_numbers)
"""The rule that a list of numbers may be given as text."""


class OneOf:
    """The rule that a text is one of `choices`; upper and lower case do not matter when it is read."""

    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def __get_pydantic_core_schema__(self, source: Any, handler: pydantic.GetCoreSchemaHandler) -> CoreSchema:
        """What pydantic asks an annotation for."""
        return core_schema.no_info_after_validator_function(self._found, handler(source))

    def _found(self, value: str) -> str:
        for choice in self.choices:
            if choice.lower() == value.lower():
                return choice
        raise PydanticCustomError("one_of", "one of {choices}", {"choices": ", ".join(self.choices)})


def fault(field: str, key: str, **values: object) -> PydanticCustomError:
    """An error to be shown at `field` of the same section; "" in the check of a single field."""
    return PydanticCustomError("fault", "{text}", {"field": field, "text": say(key, **values)})


class Section(pydantic.BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True)
