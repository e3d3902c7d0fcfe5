"""One widget from one declaration, and values on their way to it and back."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import gradio as gr

from app.words import table
from trainer.job import fields
from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.fields import Spec
from trainer.job.optimizers import OPTIMIZERS

SMALL = 0.01
"""Numbers below this are written like 1e-4, which a number input of a browser cannot show."""


def elem_id(path: str) -> str:
    """The id of the widget of `path` in the page."""
    return "f-" + path.replace(".", "-")


def make(spec: Spec, value: Any) -> Any:
    """A widget for `spec` that shows the setting's `value`; the limits stay with the declaration, which words them."""
    common: dict[str, Any] = {
        "label": spec.title,
        "info": spec.help,
        "value": shown(spec, value),
        "elem_id": elem_id(spec.path),
        "elem_classes": _classes(spec),
        "min_width": 0,
    }
    if spec.kind == "switch":
        return gr.Checkbox(**common)
    if spec.kind == "choice":
        choices = _choices(spec)
        short = len(choices) <= 3 and sum(len(label) for label, _ in choices) <= 24
        return gr.Radio(choices, **common) if short else gr.Dropdown(choices, filterable=False, **common)
    if spec.kind == "lines":
        return gr.Textbox(lines=6, max_lines=16, **common)
    if spec.kind == "numbers":
        return gr.Textbox(lines=1, max_lines=8, **common)
    if spec.kind in ("whole", "number") and not _as_text(spec):
        return gr.Number(step=_arrow_step(spec), **common)
    return gr.Textbox(max_lines=1, **common)


def shown(spec: Spec, value: Any) -> Any:
    """The setting's `value` as its widget shows it."""
    if spec.kind == "lines":
        return "\n".join(value)
    if spec.kind == "numbers":
        return ", ".join(f"{number:g}" for number in value)
    if spec.kind == "pairs":
        return fields.write_pairs(value)
    return short_number(value) if _as_text(spec) else value


def read(spec: Spec, given: Any) -> Any:
    """What the widget gives as a value for the declaration to judge; full-width digits are read like others."""
    if spec.kind == "pairs":
        return fields.read_pairs(unicodedata.normalize("NFKC", str(given or "")))
    if spec.kind == "numbers" or _as_text(spec):
        return unicodedata.normalize("NFKC", str(given or ""))
    return "" if given is None and spec.kind in ("text", "lines") else given


def short_number(value: float) -> str:
    """`value` without a long row of zeros: 1e-4, 2.5e-5, 0.5, 1."""
    if value == 0 or abs(value) >= SMALL:
        return f"{value:g}"
    return re.sub(r"\.?0*e-0?", "e-", f"{value:.6e}")


def _as_text(spec: Spec) -> bool:
    return spec.kind == "number" and 0 < spec.default < SMALL


def _arrow_step(spec: Spec) -> float:
    if spec.kind == "whole" or spec.maximum is None or spec.maximum > 10:
        return 1
    return 0.01 if spec.maximum <= 1 else 0.1


def _classes(spec: Spec) -> list[str]:
    unit = [f"unit-{unit_class(spec.unit)}"] if spec.unit else []
    return ["field", spec.kind, spec.level, *unit, *([f"needs-{spec.needs}"] if spec.needs else [])]


def unit_class(unit: str) -> str:
    """A class name for a unit such as `%`."""
    return "".join(char if char.isalnum() else f"{ord(char):x}" for char in unit)


def _choices(spec: Spec) -> list[tuple[str, str]]:
    labels: Mapping[str, Mapping[str, str]] = {
        "model.family": {name: row.label for name, row in FAMILIES.items()},
        "adapter.type": {name: row.label for name, row in ADAPTERS.items()},
        "training.optimizer": {name: row.label for name, row in OPTIMIZERS.items()},
    }
    known = labels.get(spec.path, {})
    return [(known.get(name) or table().get(f"choices.{name}", name), name) for name in spec.choices]
