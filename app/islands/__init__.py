"""The pieces that Gradio has no widget for, each an .html, .css and .js file of one name in this folder."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from app.mishaps import told_to_island
from app.words import say_all

Server = Sequence[Callable[[Any], Any]]


def island(name: str, value: Any, server_functions: Server = ()) -> gr.HTML:
    """The island `name` showing `value`, with its words from the table as `props.words`.

    Each of `server_functions` takes one argument: what its JavaScript gives it.
    """
    folder = pathlib.Path(__file__).parent
    html, css, js = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return gr.HTML(
        value,
        html_template=html,
        css_template=css,
        js_on_load=js,
        server_functions=[told_to_island(each) for each in server_functions],
        words=say_all(f"islands.{name}"),
        elem_id=name.replace("_", "-"),
        apply_default_css=False,
    )
