"""The samples tab."""

from app.forms import Form

TITLE = "tabs.samples"


def build(form: Form) -> None:
    """Lays out the tab."""
    form.rest("samples")
