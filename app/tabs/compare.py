"""The compare tab."""

from app.forms import Form

TITLE = "tabs.compare"


def build(form: Form) -> None:
    """Lays out the tab."""
