"""The dataset tab."""

from app.forms import Form

TITLE = "tabs.dataset"


def build(form: Form) -> None:
    """Lays out the tab."""
    form.rest("dataset")
