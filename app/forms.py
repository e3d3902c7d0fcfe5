"""Widgets from the declarations of the settings, and values from the widgets."""

from typing import Any

import gradio as gr

from trainer.job import fields


class Form:
    """The widgets of one page by the path of their setting, in the order in which they were placed."""

    def __init__(self) -> None:
        self.widgets: dict[str, Any] = {}

    def place(self, *paths: str) -> None:
        """Puts the widgets of these settings here."""
        for path in paths:
            spec = fields.specs()[path]
            self.widgets[path] = gr.Textbox(label=spec.title, info=spec.help, elem_id="f-" + path.replace(".", "-"))

    def rest(self, section: str) -> None:
        """Puts every widget of `section` here that no tab has placed."""
        self.place(*(path for path, spec in fields.specs().items() if spec.section == section and path not in self.widgets))
