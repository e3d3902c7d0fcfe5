"""Small pieces that several tabs lay out alike."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from app.words import say


@contextmanager
def part(key: str, needs: str = "") -> Iterator[None]:
    """A part of a tab under the heading `key`, with the sentence `key`_help below it, for families that can `needs`."""
    with gr.Column(elem_classes=["part", f"needs-{needs}"] if needs else "part"):
        heading(key)
        yield


def heading(key: str) -> None:
    """The heading alone."""
    gr.HTML(f"<h2>{html.escape(say(key))}</h2><p>{html.escape(say(f'{key}_help'))}</p>", apply_default_css=False)


def note() -> Any:
    """A line under a field that says what was found."""
    return gr.HTML("", elem_classes="note", apply_default_css=False)


def fine(text: str) -> str:
    """The contents of a note that all is well."""
    return f'<p class="fine">{html.escape(text)}</p>'


def bad(text: str) -> str:
    """The contents of a note that something is wrong."""
    return f'<p class="bad">{html.escape(text)}</p>'
