"""The Compare tab: the samples of a run, or of two, as epochs × prompts."""

from app.forms import Form
from app.islands import island

TITLE = "tabs.compare"


def build(form: Form) -> None:
    """Lays out the tab."""
    island("sample_grid", None)
