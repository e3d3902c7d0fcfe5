"""What the bar has for the queue: Add to queue, and the row that puts an entry which is edited back in its place."""

import dataclasses
import functools
import html
from typing import Any

import gradio as gr

from app import bar, jobs
from app.bar import Bar
from app.forms import Form
from app.words import say
from trainer.job.settings import Job
from trainer.job.trouble import Refused
from trainer.run import queue


@dataclasses.dataclass(frozen=True)
class Editing:
    """The row under the bar; `entry` holds the id of what is edited, `begin` is pressed by the page."""

    line: Any
    entry: Any
    begin: Any
    put_back: Any
    leave: Any


def build() -> Editing:
    """Lays out the row, which is only seen while an entry is edited."""
    with gr.Row(elem_id="edit-entry"):
        line = gr.HTML("", elem_id="edited-entry", apply_default_css=False)
        put_back = gr.Button(say("queue.put_back"), variant="primary", size="sm", min_width=0, elem_id="put-back")
        leave = gr.Button(say("presets.cancel"), size="sm", min_width=0, elem_id="leave-entry")
    entry = gr.Textbox(visible=False)
    begin = gr.Button(elem_id="begin-editing", elem_classes="gone")
    return Editing(line, entry, begin, put_back, leave)


def connect(editing: Editing, top: Bar, form: Form, tabs: Any) -> None:
    """Makes the row and Add to queue work; what is put back is shown on the Run tab of `tabs`."""
    on, every = functools.partial(bar.wire, top, form), form.inputs()
    add = top.buttons["queue"]
    bar.say_faults_first(top, form, add)
    on(add.click, functools.partial(_add, form), every, [], validator=functools.partial(bar.validate, form))
    filled = [*every, editing.line, editing.entry]
    on(
        editing.begin.click,
        functools.partial(_edit, form),
        [editing.entry],
        filled,
        js="() => [atelier.entryToEdit()]",
    )
    bar.say_faults_first(top, form, editing.put_back)
    on(
        editing.put_back.click,
        functools.partial(_put_back, form),
        [*every, editing.entry],
        [tabs],
        validator=lambda *given: [*bar.validate(form, *given[:-1]), gr.validate(True, "")],
    )
    editing.leave.click(None, None, None, js="() => atelier.leaveEntry()")


def _add(form: Form, *given: Any) -> list[Any]:
    if told := bar.first_faults(form, *given):
        return [told, ""]
    job = form.job(given)
    try:
        entry = jobs.queue_up(job)
    except (OSError, Refused) as error:
        return [_not_queued(job, error), ""]
    show = f'<button type="button" data-tab="run">{html.escape(say("bar.show_queue"))}</button>'
    return [bar.notice("good", [show], say("bar.queued", name=entry.name)), ""]


def _not_queued(job: Job, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return bar.notice("error", [html.escape(say("bar.not_queued", name=job.output.name, reason=reason))])


def _edit(form: Form, entry_id: str) -> list[Any]:
    try:
        entry = queue.find(entry_id)
    except Refused as error:
        skipped = [gr.skip()] * (len(form.widgets) + 2)
        return [*skipped, bar.notice("error", [html.escape(str(error))]), ""]
    line = f"<p>{html.escape(say('queue.editing', name=entry.name))}</p>"
    return [*form.fill(entry.job), line, entry.id, "", bar.order("loaded", preset=None, row="editing")]


def _put_back(form: Form, *given: Any) -> list[Any]:
    if told := bar.first_faults(form, *given[:-1]):
        return [gr.skip(), told, ""]
    job = form.job(given[:-1])
    try:
        queue.edit(str(given[-1]), job)
        jobs.work()
    except (OSError, Refused) as error:
        return [gr.skip(), _not_queued(job, error), ""]
    return [gr.Tabs(selected="run"), "", bar.order("put_back")]
