"""The training tab."""

from app.forms import Form

TITLE = "tabs.training"


def build(form: Form) -> None:
    """Lays out the tab."""
    form.rest("training")
