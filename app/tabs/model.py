"""The Model tab: what is trained upon, what is added to it, and what the result is called."""

from app import parts, places
from app.forms import Form, Values
from trainer.job import base_model
from trainer.job.facts import FAMILIES

TITLE = "tabs.model"


def build(form: Form) -> None:
    """Lays out the tab."""
    with parts.part("model.base"):
        form.grid("model.family", "model.base")
        found = parts.note()
        form.rest("model")
    with parts.part("model.adapter"):
        form.grid("adapter.type", "adapter.rank", "adapter.alpha", "adapter.conv_rank", "adapter.conv_alpha")
        form.rest("adapter")
    with parts.part("model.output"):
        form.grid("output.name", "output.save_every_epochs", "output.folder")
        goal = parts.note()
        form.rest("output")
    form.browsable("model.base", "model")
    form.browsable("model.vae", "model")
    form.browsable("adapter.start_from", "lora")
    form.browsable("output.folder", "folder")
    form.follow("model.family", "model.base", family_of)
    form.on_change(["model.base", "model.family"], describe, found)
    form.on_change(["output.folder", "output.name"], where, goal)


def describe(values: Values) -> str:
    """What the base model's name refers to, or what is wrong with it."""
    base, family = str(values["model.base"]).strip(), values["model.family"]
    if family not in FAMILIES:
        return ""
    found = base_model.describe(base, family)
    return parts.bad(found.problem) if found.problem else parts.fine(found.text)


def family_of(values: Values) -> str | None:
    """The family that the base model's file or folder tells; None where it tells none that can be trained."""
    found = base_model.describe(str(values["model.base"]).strip(), "")
    return found.family if found.family in FAMILIES else None


def where(values: Values) -> str:
    """Where the next run's folder will lie."""
    return parts.fine(str(places.resolve_outputs(str(values["output.folder"])) / str(values["output.name"])))
