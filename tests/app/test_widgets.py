"""Values on their way to a widget and back."""

import pytest

from app import widgets
from trainer.job import fields


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-4, "1e-4"),
        (5e-5, "5e-5"),
        (2.5e-5, "2.5e-5"),
        (0.002, "2e-3"),
        (1.0, "1"),
        (0.05, "0.05"),
        (0, "0"),
        (1e-12, "1e-12"),
    ],
)
def test_small_numbers_are_written_short(value: float, text: str) -> None:
    assert widgets.short_number(value) == text
    assert float(text) == value


def test_pairs_and_lines_become_text_and_values_again() -> None:
    pairs, lines = fields.specs()["training.optimizer_args"], fields.specs()["samples.prompts"]
    settings = {"weight_decay": 0.1, "betas": [0.9, 0.99]}
    assert widgets.read(pairs, widgets.shown(pairs, settings)) == settings
    assert widgets.shown(lines, ["a cat", "a dog"]) == "a cat\na dog"


def test_units_become_class_names() -> None:
    assert widgets.unit_class("px") == "px"
    assert widgets.unit_class("%") == "25"
