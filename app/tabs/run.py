"""The run tab."""

from app.forms import Form

TITLE = "tabs.run"


def build(form: Form) -> None:
    """Lays out the tab."""
