"""The Samples tab: which pictures are made while it learns."""

import html

import gradio as gr

from app import parts
from app.forms import Form
from app.words import say, say_all

TITLE = "tabs.samples"


def build(form: Form) -> None:
    """Lays out the tab."""
    with parts.part("samples.prompts"):
        form.grid("samples.prompts")
        gr.HTML(_example(), elem_classes="example", apply_default_css=False)
    with parts.part("samples.how"):
        form.grid("samples.every_epochs", "samples.baseline", "samples.seed", "samples.steps", "samples.guidance", "samples.negative")
    form.rest("samples")


def _example() -> str:
    rows = "".join(
        f"<tr><td><code>--{letter}</code></td><td>{html.escape(text)}</td></tr>" for letter, text in say_all("samples.option").items()
    )
    line = html.escape(say("samples.example"))
    return f"<p>{html.escape(say('samples.example_is'))} <code>{line}</code></p><table>{rows}</table>"
