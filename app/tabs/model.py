"""The model tab."""

from app.forms import Form

TITLE = "tabs.model"


def build(form: Form) -> None:
    """Lays out the tab."""
    form.rest("model")
    form.rest("adapter")
