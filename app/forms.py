"""The form of a page: every setting's widget, what they hold as a job, and what follows when one is changed."""

import dataclasses
import html
import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from app import widgets
from app.words import say
from trainer.job import fields
from trainer.job.fields import Message
from trainer.job.settings import Job

SEARCH_FROM = 8
"""An Advanced part with at least this many settings gets a search."""

Values = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Watcher:
    """`answer` fills `outputs` from the values of `paths`; `edits` says that these are settings themselves."""

    paths: tuple[str, ...]
    answer: Callable[[Values], Any]
    outputs: tuple[Any, ...]
    edits: bool = False

    def elem_id(self, number: int) -> str:
        return f"watcher-{number}"


class Form:
    """The widgets of one page by the path of their setting, in the order in which they were placed.

    It belongs to the page that is being built and holds nothing of a user's: what a user has entered is in the browser.
    """

    def __init__(self, start: Job) -> None:
        self.start = fields.flatten(start)
        self.widgets: dict[str, Any] = {}
        self.tabs: dict[str, str] = {}
        self.watchers: list[Watcher] = []
        self.ends: list[Callable[[], None]] = []
        self._tab = ""

    def tab(self, name: str) -> None:
        """What is placed from now on stands in the tab `name`."""
        self._tab = name

    def at_end(self, do: Callable[[], None]) -> None:
        """`do` is called when the program that serves the page ends."""
        self.ends.append(do)

    def place(self, *paths: str) -> None:
        """Puts the widgets of these settings here."""
        for path in paths:
            assert path not in self.widgets, f"{path} is placed twice"
            self.widgets[path] = widgets.make(fields.specs()[path], self.start[path])
            self.tabs[path] = self._tab

    def browsable(self, path: str, kind: str) -> None:
        """Gives the text field of `path` a button that fills it from the file browser; `kind` as in browse.listing."""
        button = gr.Button(say("browser.open"), render=False)
        button.click(None, None, None, js=f"() => atelier.browse('{path}', '{kind}')")
        self.widgets[path].buttons = [button]

    def grid(self, *paths: str) -> None:
        """Puts the widgets of these settings into a grid of their own."""
        with gr.Column(elem_classes="fields"):
            self.place(*paths)

    def rest(self, section: str) -> None:
        """Puts what no tab has placed of `section` into its Advanced part, with a search where that is long."""
        left = [path for path, spec in fields.specs().items() if spec.section == section and path not in self.widgets]
        if not left:
            return
        title, name = say("form.advanced", count=len(left)), f"advanced-{section}"
        with gr.Accordion(title, open=False, elem_classes="advanced-part", elem_id=name):
            if len(left) >= SEARCH_FROM:
                gr.HTML(_search(section), elem_classes="search", apply_default_css=False)
            self.grid(*left)

    def inputs(self, paths: Iterable[str] = ()) -> list[Any]:
        """The widgets of `paths`, or all of them."""
        return [self.widgets[path] for path in paths or self.widgets]

    def values(self, given: Sequence[Any], paths: Iterable[str] = ()) -> dict[str, Any]:
        """What the widgets of `paths` (or all) gave, by path, for the declarations to judge."""
        specs = fields.specs()
        return {
            path: widgets.read(specs[path], value) for path, value in zip(paths or self.widgets, given, strict=True)
        }

    def job(self, given: Sequence[Any]) -> Job:
        """The job that all widgets describe. Raises Invalid."""
        return fields.parse(fields.nest(self.values(given)))

    def fill(self, job: Job) -> list[Any]:
        """What all widgets show of `job`."""
        values, specs = fields.flatten(job), fields.specs()
        return [widgets.shown(specs[path], values[path]) for path in self.widgets]

    def at_fields(self, messages: Iterable[Message]) -> list[Any]:
        """For Gradio's validation: each widget with the messages that belong to it."""
        by_path: dict[str, list[str]] = {}
        for message in messages:
            by_path.setdefault(message.path, []).append(message.text)
        return [gr.validate(path not in by_path, "\n".join(by_path.get(path, ()))) for path in self.widgets]

    def on_change(self, paths: Iterable[str], answer: Callable[[Values], Any], *outputs: Any) -> None:
        """`answer(values)` fills `outputs` whenever one of `paths` has changed, and when the page has been opened."""
        self.watchers.append(Watcher(tuple(paths), answer, outputs))

    def follow(self, path: str, leader: str, answer: Callable[[Values], Any]) -> None:
        """When `leader` has changed, `path` becomes what `answer(values)` says; None leaves it as it is."""

        def value(values: Values) -> Any:
            found = answer(values)
            return gr.skip() if found is None else found

        self.watchers.append(Watcher((leader,), value, (self.widgets[path],), edits=True))

    def connect(self) -> None:
        """Puts the hidden buttons here that form.js presses after a change.

        Gradio's own `.input` of a text box misses pasted, deleted and composed (Japanese) text, so the page listens to
        the browser's events instead.
        """
        # All values come as one: whatever is an input or output of an event, Gradio's page looks for and tells of every
        # other event as well, a hundred fields thousands of times.
        known = gr.Textbox(visible=False)
        for number, watcher in enumerate(self.watchers):
            button = gr.Button(elem_id=watcher.elem_id(number), elem_classes="gone")
            answered = button.click(
                self._answer(watcher),
                known,
                list(watcher.outputs),
                js=f"() => [atelier.known('{watcher.elem_id(number)}')]",
                queue=False,
                show_progress="hidden",
                show_progress_on=button,
                trigger_mode="always_last",
                api_visibility="private",
            )
            if watcher.edits:
                answered.success(None, None, None, js="() => atelier.changed()")

    def _answer(self, watcher: Watcher) -> Callable[..., Any]:
        return lambda told: watcher.answer(self.values(list(self.known(told, watcher.paths).values()), watcher.paths))

    def known(self, told: str, paths: Iterable[str] = ()) -> dict[str, Any]:
        """What the page has told that the widgets of `paths` (or all) hold, None where that is no value of any."""
        try:
            given = json.loads(told)
        except (ValueError, RecursionError):
            given = None
        held = given if isinstance(given, dict) else {}
        return {path: _value(held.get(path)) for path in paths or self.widgets}

    def facts(self) -> Mapping[str, Any]:
        """What form.js knows of the form."""
        specs = fields.specs()
        return types.MappingProxyType(
            {
                "paths": list(self.widgets),
                "tabs": self.tabs,
                "numbers": [path for path in self.widgets if specs[path].kind in ("whole", "number")],
                "find": {p: f"{s.title} {s.help} {p}".lower() for p, s in specs.items() if p in self.widgets},
                "watchers": {watcher.elem_id(number): watcher.paths for number, watcher in enumerate(self.watchers)},
            }
        )


def _value(told: object) -> Any:
    return told if isinstance(told, str | int | float | bool) else None


def _search(section: str) -> str:
    words, none = html.escape(say("form.search")), html.escape(say("form.search_none"))
    field = f'<input type="search" class="find" data-section="{section}" placeholder="{words}" aria-label="{words}">'
    return f'{field}<p class="none" hidden>{none}</p>'
