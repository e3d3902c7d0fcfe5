"""The bar above all tabs: presets, what has changed, the plan in one line, and Start."""

import dataclasses
import functools
import html
import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import gradio as gr

from app import jobs, moving_in, plans, run_list, shelf
from app.forms import Form
from app.words import say
from trainer.dataset.scan import scan
from trainer.job import base_model, fields, lora_files, presets, vae_files
from trainer.job.fields import Invalid, Message
from trainer.job.kohya_import.read import MAX_BYTES
from trainer.job.settings import Job
from trainer.run import home
from trainer.run.folder import read_job

UPLOADS = (".json", ".toml", ".txt", ".sh", ".bat", ".cmd", ".ps1")
"""What Kohya's users keep their settings and commands in; what a file is, its content says."""
OBEY = "(...given) => atelier.obey(...given)"
KNOWN = "chosen => [chosen, atelier.known()]"


@dataclasses.dataclass(frozen=True)
class Bar:
    """What stands in the bar; `said` carries an order for form.js as JSON and is never seen."""

    chooser: Any
    purpose: Any
    notice: Any
    said: Any
    buttons: Mapping[str, Any]
    title: Any
    purpose_text: Any
    pasted: Any


def build() -> Bar:
    """Lays out the bar; `connect` makes it work once all fields exist."""
    entries = shelf.entries()
    first = entries[0] if entries else None
    with gr.Row(elem_id="bar"):
        gr.HTML(f"<h1>{html.escape(say('app.title'))}</h1>", elem_id="wordmark", apply_default_css=False)
        chooser = gr.Dropdown(
            _choices(entries),
            value=first.key if first else None,
            label=say("presets.label"),
            show_label=False,
            filterable=False,
            min_width=0,
            elem_id="preset",
        )
        buttons: dict[str, Any] = {"load": _button("load"), "save": _button("save")}
        buttons["upload"] = gr.UploadButton(
            say("presets.upload"),
            file_count="multiple",
            file_types=list(UPLOADS),
            size="sm",
            min_width=0,
            elem_id="upload-preset",
        )
        buttons["paste"] = _button("paste")
        buttons["download"] = _button("download")
        gr.HTML('<span class="count" role="status"></span>', elem_id="changes", apply_default_css=False)
        buttons["queue"] = gr.Button(say("bar.queue"), min_width=0, elem_id="add-to-queue")
        buttons["start"] = gr.Button(say("bar.start"), variant="primary", min_width=0, elem_id="start")
        buttons["anyway"] = gr.Button(elem_id="start-anyway", elem_classes="gone")
        buttons["open"] = gr.Button(elem_id="open-run", elem_classes="gone")
    with gr.Row(elem_id="save-as"):
        title = gr.Textbox(label=say("presets.title"), max_lines=1, min_width=0, elem_id="save-title")
        purpose_text = gr.Textbox(label=say("presets.purpose"), max_lines=1, min_width=0, elem_id="save-purpose")
        buttons["keep"] = gr.Button(say("presets.keep"), variant="primary", size="sm", min_width=0, elem_id="save-keep")
        buttons["cancel"] = gr.Button(say("presets.cancel"), size="sm", min_width=0, elem_id="save-cancel")
    with gr.Row(elem_id="paste-in"):
        pasted = gr.Textbox(
            label=say("paste.label"),
            info=say("paste.help"),
            placeholder=say("paste.example"),
            lines=6,
            max_lines=14,
            min_width=0,
            elem_id="pasted",
        )
        buttons["take"] = gr.Button(say("paste.take"), variant="primary", size="sm", min_width=0, elem_id="paste-take")
        buttons["leave"] = gr.Button(say("presets.cancel"), size="sm", min_width=0, elem_id="paste-leave")
    with gr.Row(elem_id="about"):
        purpose = gr.HTML(_about(first), elem_id="purpose", apply_default_css=False)
        line = gr.HTML("", elem_id="plan", apply_default_css=False)
    notice = gr.HTML("", elem_id="notice", apply_default_css=False)
    said = gr.Textbox(visible=False)
    return Bar(chooser, purpose, notice, said, {**buttons, "line": line}, title, purpose_text, pasted)


def _button(name: str) -> Any:
    return gr.Button(say(f"presets.{name}"), size="sm", min_width=0, elem_id=f"{name}-preset")


def _choices(entries: Iterable[shelf.Entry]) -> list[tuple[str, str]]:
    return [(entry.title, entry.key) for entry in entries]


def connect(bar: Bar, form: Form, tabs: Any) -> None:
    """Makes the bar's buttons work on `form`; Start shows the Run tab of `tabs`."""
    all_fields = form.inputs()
    on = functools.partial(wire, bar, form)
    filled = [*all_fields, bar.purpose]
    on(
        bar.buttons["load"].click,
        functools.partial(_load, form),
        [bar.chooser, bar.said],
        filled,
        queue=False,
        js=KNOWN,
    )
    on(bar.buttons["upload"].upload, functools.partial(_upload, form), [bar.buttons["upload"]], [*filled, bar.chooser])
    on(bar.buttons["take"].click, functools.partial(_paste, form), [bar.pasted], [*filled, bar.chooser])
    opened = [*filled, bar.chooser]
    on(bar.buttons["open"].click, functools.partial(_open, form), [bar.said], opened, js="() => atelier.wanted()")
    bar.buttons["paste"].click(None, None, None, js="() => atelier.opening('pasting', '#pasted textarea')")
    bar.buttons["leave"].click(None, None, None, js="() => atelier.closing('pasting')")
    on(bar.buttons["download"].click, functools.partial(_download, form), all_fields, [])
    save = [bar.title, bar.purpose_text, bar.chooser, *all_fields]
    on(bar.buttons["keep"].click, functools.partial(_save, form), save, [bar.chooser, bar.purpose])
    bar.chooser.input(
        _show_purpose, bar.chooser, bar.purpose, queue=False, show_progress="hidden", api_visibility="private"
    )
    bar.buttons["save"].click(
        _proposal,
        bar.chooser,
        [bar.title, bar.purpose_text],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    ).then(None, None, None, js="() => atelier.opening('saving', '#save-title input, #save-title textarea')")
    bar.buttons["cancel"].click(None, None, None, js="() => atelier.closing('saving')")
    start = bar.buttons["start"]
    say_faults_first(bar, form, start)
    for button, anyway in ((start, False), (bar.buttons["anyway"], True)):
        do = functools.partial(_start, form, anyway)
        on(button.click, do, all_fields, [tabs], validator=functools.partial(validate, form))
    form.on_change([*plans.data_paths(), *plans.LENGTH, *plans.ROOM], plans.line, bar.buttons["line"])


def say_faults_first(bar: Bar, form: Form, button: Any) -> None:
    """A rejection by a validator fires no event and ends what the click does, so the summary goes first."""
    do = functools.partial(first_faults, form)
    button.click(do, form.inputs(), bar.notice, show_progress="hidden", api_visibility="private")


def wire(
    bar: Bar,
    form: Form,
    event: Callable[..., Any],
    do: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    **options: Any,
) -> None:
    """`do` gives the outputs, then a notice, then an order for the page, which obeys with all fields at hand."""
    done = event(
        do,
        list(inputs),
        [*outputs, bar.notice, bar.said],
        show_progress="hidden",
        # Not on all fields: see forms.connect.
        show_progress_on=bar.said,
        api_visibility="private",
        **options,
    )
    done.success(None, [bar.said, *form.inputs()], None, js=OBEY)


# ---- presets ----


def _load(form: Form, key: str | None, told: str) -> list[Any]:
    try:
        document = shelf.read(key)
        job = document.job
    except Invalid as error:
        return [*[gr.skip()] * (len(form.widgets) + 1), notice("error", map(_plain, error.messages)), ""]
    # Of a hundred fields a preset changes a few, and the page takes as long for one that stays as for one that changes.
    known = form.known(told).values()
    filled = [gr.skip() if new == old else new for new, old in zip(form.fill(job), known, strict=True)]
    return [*filled, _about(document), _unknown(document.unknown), order("loaded", preset=key)]


def _upload(form: Form, paths: list[str]) -> list[Any]:
    try:
        files = [(pathlib.Path(path).name, _content(path)) for path in paths]
    except OSError as error:
        return [*_unchanged(form), notice("error", [html.escape(say("presets.unread", reason=error))]), ""]
    return _bring_in(form, files)


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(MAX_BYTES + 1)


def _paste(form: Form, text: str | None) -> list[Any]:
    # Half a character, which only a browser can send, must not end in an error.
    return _bring_in(form, [(say("paste.name"), (text or "").encode("utf-8", "replace"))])


def _bring_in(form: Form, files: list[tuple[str, bytes]]) -> list[Any]:
    """Fills the form from a job or preset of ours, or from a file or command of Kohya's."""
    try:
        found = moving_in.found(files)
    except Invalid as error:
        head = say("presets.not_taken", name=", ".join(name for name, _ in files))
        return [*_unchanged(form), notice("error", map(_plain, error.messages), head), ""]
    told = found.panel or _unknown(found.unknown)
    return [*form.fill(found.job), _purpose(found.about), None, told, order("loaded", preset=None)]


def _open(form: Form, wanted: str) -> list[Any]:
    """Fills the form with the settings of a run, for a new one, and leads to one of them."""
    asked = json.loads(wanted)
    run = run_list.find(str(asked["run"]))
    try:
        job = read_job(run) if run else None
    except (OSError, ValueError) as error:
        return [*_unchanged(form), notice("error", [html.escape(say("run.unread", reason=error))]), ""]
    if run is None or job is None:
        return [*_unchanged(form), notice("error", [html.escape(say("run.gone"))]), ""]
    told = notice("good", [html.escape(say("run.opened", name=run.name))])
    return [*form.fill(job), _purpose(""), None, told, order("loaded", preset=None, go=asked["path"])]


def _unchanged(form: Form) -> list[Any]:
    """For the fields, the purpose and the chooser."""
    return [gr.skip()] * (len(form.widgets) + 2)


def _download(form: Form, *given: Any) -> list[Any]:
    try:
        job = form.job(given)
    except Invalid as error:
        return [summary(form, error.messages), ""]
    return ["", order("download", name=f"{job.output.name}.json", text=presets.dump(job, job.output.name))]


def _save(form: Form, title: str, purpose: str, chosen: str | None, *given: Any) -> list[Any]:
    try:
        entry = shelf.save(form.job(given), title, purpose, replace=chosen or "")
    except Invalid as error:
        return [gr.skip(), gr.skip(), summary(form, error.messages), ""]
    except OSError as error:
        return [gr.skip(), gr.skip(), notice("error", [html.escape(say("presets.unsaved", reason=error))]), ""]
    chooser = gr.Dropdown(choices=_choices(shelf.entries()), value=entry.key)
    told = notice("good", [html.escape(say("presets.saved", title=entry.title, path=entry.path))])
    return [chooser, _about(entry), told, order("saved", preset=entry.key)]


def _proposal(chosen: str | None) -> tuple[str, str]:
    """Title and purpose of the chosen preset where it is the user's own and can be read, to be written over."""
    if not chosen or not chosen.startswith(f"{shelf.OWN}/"):
        return "", ""
    try:
        document = shelf.read(chosen)
    except Invalid:
        return "", ""
    return document.title, document.purpose


def _show_purpose(key: str | None) -> str:
    return _about(shelf.find(key))


def _purpose(text: str) -> str:
    return f'<p title="{html.escape(text)}">{html.escape(text)}</p>'


def _about(preset: shelf.Entry | presets.Document | None) -> str:
    """What a preset is good for and, in a fold, why its numbers are as they are and what it needs."""
    if preset is None:
        return _purpose("")
    lines = [*_cost(preset), *preset.reasoning]
    if not lines:
        return _purpose(preset.purpose)
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    why = f"<details><summary>{html.escape(say('presets.why'))}</summary><ul>{items}</ul></details>"
    return _purpose(preset.purpose) + why


def _cost(preset: shelf.Entry | presets.Document) -> list[str]:
    if not preset.file_mb or not preset.memory_gb:
        return []
    return [say("presets.cost", file=f"{preset.file_mb:.0f}", memory=f"{preset.memory_gb:.0f}")]


def _unknown(unknown: Sequence[Message]) -> str:
    return notice("warning", map(_plain, unknown), say("presets.unknown")) if unknown else ""


# ---- Start ----


def _faults(form: Form, given: Sequence[Any]) -> tuple[Message, ...]:
    """All that keeps the job from being started, each at its setting."""
    job, wrong = plans.possible_job(form.values(given))
    base = base_model.describe(job.model.base, job.model.family).problem
    vae = vae_files.problem(job.model.vae)
    outputs = home.outputs_problem(home.resolve_outputs(job.output.folder))
    at = (("model.base", base), ("model.vae", vae), ("output.folder", outputs))
    found = [Message(path, text) for path, text in at if text]
    loras = lora_files.faults(job.adapter.start_from, job.model.base_loras, job.model.family)
    found += [Message(path, text) for path, text in loras]
    found += plans.data_errors(scan(job.dataset), job)
    named = {message.path for message in wrong}
    return (*wrong, *(message for message in found if message.path not in named))


def validate(form: Form, *given: Any) -> list[Any]:
    """For Gradio's validation: every setting with all that keeps the job from being started."""
    return form.at_fields(_faults(form, given))


def first_faults(form: Form, *given: Any) -> str:
    """The same as a notice; "" where there is nothing."""
    faults = _faults(form, given)
    return summary(form, faults) if faults else ""


def _start(form: Form, anyway: bool, *given: Any) -> list[Any]:
    if told := first_faults(form, *given):
        return [gr.skip(), told, ""]
    job: Job = form.job(given)
    others = [] if anyway else jobs.under_way()
    if others:
        names = ", ".join(run.name for run in others)
        presses = {"add-to-queue": "bar.queue_instead", "start-anyway": "bar.start_anyway"}
        lines = [
            f'<button type="button" data-press="{name}">{html.escape(say(presses[name]))}</button>' for name in presses
        ]
        return [gr.skip(), notice("warning", lines, say("bar.busy", names=names)), ""]
    try:
        run = jobs.start(job)
    except OSError as error:
        message = say("bar.not_started", folder=job.output.folder, reason=error.strerror or error)
        return [gr.skip(), notice("error", [html.escape(message)]), ""]
    return [gr.Tabs(selected="run"), "", order("started", run=run_list.key_of(run))]


# ---- what is told ----


def order(do: str, **values: Any) -> str:
    """What form.js is to do, as it reads it."""
    return json.dumps({"do": do, **values}, ensure_ascii=False)


def _plain(message: Message) -> str:
    return html.escape(message.text)


def summary(form: Form, messages: Iterable[Message]) -> str:
    """A notice that counts the messages and leads to each one's setting."""
    found = list(messages)
    titles = fields.specs()
    if not any(message.path in titles for message in found):
        return notice("error", map(_plain, found))
    lines = []
    for message in found:
        tab = form.tabs.get(message.path)
        place = f"<small>{html.escape(say(f'tabs.{tab}'))}</small>" if tab else ""
        lines.append(f'<button type="button" data-go="{html.escape(message.path)}">{place}{_plain(message)}</button>')
    head = say("page.faults_one" if len(found) == 1 else "page.faults_many", count=len(found))
    return notice("error", lines, head)


def notice(kind: str, lines: Iterable[str], head: str = "") -> str:
    """A box with a line for each of `lines`, which are HTML already; it can be closed."""
    title = f"<strong>{html.escape(head)}</strong>" if head else ""
    items = "".join(f"<li>{line}</li>" for line in lines)
    label = html.escape(say("bar.close"))
    close = f'<button type="button" class="close" data-close-notice aria-label="{label}">×</button>'
    role = "alert" if kind == "error" else "status"
    return f'<div class="notice {kind}" role="{role}">{title}<ul>{items}</ul>{close}</div>'


# ---- what was typed before the page was reloaded ----


def restore(form: Form, draft: str) -> list[Any]:
    """What all fields and the chooser show of the draft that the browser has kept; the fields stay without one.

    The chooser gets the presets of now: some may have been saved since the page was built.
    """
    entries = shelf.entries()
    unchanged = [*[gr.skip()] * len(form.widgets), gr.Dropdown(choices=_choices(entries)), gr.skip()]
    try:
        kept = json.loads(draft or "null")
    except (ValueError, RecursionError):
        return unchanged
    if not isinstance(kept, dict) or not isinstance(kept.get("values"), dict):
        return unchanged
    specs, found = fields.specs(), []
    for path in form.widgets:
        value = kept["values"].get(path)
        usable = isinstance(value, str | int | float | bool) and (
            not specs[path].choices or value in specs[path].choices
        )
        found.append(value if usable else gr.skip())
    entry = next((entry for entry in entries if entry.key == kept.get("preset")), None)
    chooser = gr.Dropdown(choices=_choices(entries), value=entry.key if entry else None)
    return [*found, chooser, _about(entry)]
