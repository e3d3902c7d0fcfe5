"""The Samples tab: which pictures are made while it learns."""

import html

import gradio as gr

from app import parts
from app.forms import Form
from app.words import say, say_all

TITLE = "tabs.samples"


def build(form: Form) -> None:
    """Lays out the tab."""
    with parts.part("samples.prompts"), gr.Row(elem_classes="prompts"):
        form.grid("samples.prompts")
        gr.HTML(_example(), elem_classes="example", apply_default_css=False)
    with parts.part("samples.how"):
        form.grid(
            "samples.every_epochs",
            "samples.baseline",
            "samples.seed",
            "samples.steps",
            "samples.guidance",
            "samples.negative",
        )
    form.rest("samples")


def _example() -> str:
    rows = "".join(
        f"<dt><code>--{letter}</code></dt><dd>{html.escape(text)}</dd>"
        for letter, text in say_all("samples.option").items()
    )
    # An option stays in one line with its value.
    prompt, *options = say("samples.example").split(" --")
    line = " ".join(f"<code>{html.escape(part)}</code>" for part in (prompt, *(f"--{option}" for option in options)))
    return f"<p>{html.escape(say('samples.example_is'))}<br>{line}</p><dl>{rows}</dl>"
