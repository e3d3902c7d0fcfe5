"""The web application: the page with its bar and tabs, mounted beside the small HTTP routes.

A tab is a module with `TITLE`, the key of its title in the table of words, and `build(form)`, which lays out its
widgets inside the tab. It is added by naming it in `TABS`.
"""

import contextlib
import functools
import json
import pathlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import gradio as gr

from app import bar, browse, guard, jobs, live, mishaps, news, places, queue_bar, queueing, shelf, theme, thumbs
from app.door import Door, way_out
from app.forms import Form
from app.islands import island
from app.tabs import compare, dataset, model, run, samples, tools, training
from app.words import say, say_all
from trainer.job import fields
from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.run.folder import forget_abandoned

TABS = (model, dataset, training, samples, run, compare, tools)
PAGES_REMEMBERED = 16
"""An older page that is still open goes on as one that has only just been opened."""
LARGEST_UPLOAD = "4mb"
"""Presets and settings are uploaded, pictures never: those are read where they lie."""
UPLOADS_S = 3600
"""So long Gradio keeps what was uploaded, which is read at once."""


def create_app(door: Door | None = None) -> fastapi.FastAPI:
    """The whole application behind its guard; with a `door`, other machines may come in through that."""
    form = Form(shelf.start_job())

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        for place in (places.home(), shelf.own_folder()):
            forget_abandoned(place)
        ended = threading.Event()
        threading.Thread(target=jobs.keep_working, args=(ended,), daemon=True, name="queue").start()
        yield
        ended.set()
        for end in form.ends:
            end()

    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(guard.Guard, is_own=guard.is_reachable if door else guard.is_local, door=door)
    app.add_exception_handler(Exception, mishaps.answer)
    app.include_router(live.router)
    app.include_router(news.router)
    app.include_router(thumbs.router)
    app.include_router(queueing.router)
    gr.mount_gradio_app(
        app,
        build(form, shared=door is not None),
        path="/",
        server_name="127.0.0.1",
        max_file_size=LARGEST_UPLOAD,
        run_history=False,
        footer_links=[],
        theme=theme.THEME,
        css=theme.css(),
        head=_head(form),
        favicon_path=str(pathlib.Path(__file__).with_name("icon.svg")),
    )
    return app


def build(form: Form, *, shared: bool = False) -> gr.Blocks:
    """The page, with a widget for each setting in `form`, and with a way to log out where it is `shared`."""
    with gr.Blocks(title=say("app.title"), analytics_enabled=False, delete_cache=(UPLOADS_S, UPLOADS_S)) as page:
        if shared:
            gr.HTML(way_out(), elem_id="way-out", apply_default_css=False)
        top = bar.build()
        editing = queue_bar.build()
        island("news", None)
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            for tab in TABS:
                name = tab.TITLE.rpartition(".")[2]
                form.tab(name)
                with gr.Tab(say(tab.TITLE), id=name, elem_id=f"tab-{name}"):
                    tab.build(form)
        island("file_browser", None, [browse.listing_text])
        bar.connect(top, form, tabs)
        queue_bar.connect(editing, top, form, tabs)
        form.connect()
        _connect_draft(page, form, top)
    mishaps.tell_of_all(page)
    # A page that is mounted is never launched, and only in a launched one does Gradio refuse a path as an upload that
    # is none: without this any file of this machine could be had read as a preset.
    page.has_launched = True
    # What is named as an upload, in any field, may as well be an address, which Gradio would fetch.
    for block in page.blocks.values():
        block.async_move_resource_to_block_cache = functools.partial(
            guard.only_files, block.async_move_resource_to_block_cache
        )
    # Each load of the page is a session to Gradio, of half a megabyte, and it would keep 10,000 of them.
    page.state_session_capacity = PAGES_REMEMBERED
    return page


def _connect_draft(page: gr.Blocks, form: Form, top: bar.Bar) -> None:
    """Fields keep what was typed when the page is loaded again, or an entry of the queue was in them meanwhile.

    form.js marks what differs from the preset.
    """
    draft = gr.Textbox(visible=False)
    edited = gr.Button(elem_id="edited", elem_classes="gone")
    edited.click(None, form.inputs(), None, js="(...values) => atelier.edited(...values)")
    brought_back = gr.Button(elem_id="bring-back", elem_classes="gone")
    for event, kept in ((page.load, "draft"), (brought_back.click, "before")):
        event(
            functools.partial(bar.restore, form),
            draft,
            [*form.inputs(), top.chooser, top.purpose],
            js=f"() => atelier.{kept}()",
            queue=False,
            show_progress="hidden",
            show_progress_on=draft,  # not on all fields: see forms.connect
            api_visibility="private",
        ).then(None, form.inputs(), None, js="(...values) => atelier.opened(...values)")


def _head(form: Form) -> str:
    """The facts that form.js needs, and form.js."""
    facts: dict[str, Any] = {
        **form.facts(),
        "titles": {path: spec.title for path, spec in fields.specs().items()},
        "capabilities": {name: sorted(row.capabilities) for rows in (FAMILIES, ADAPTERS) for name, row in rows.items()},
        "words": say_all("page"),
        "preset": shelf.STARTER,
        "version": news.version(),
    }
    # A "</script>" inside of a text would end the script, and a "<!--" would keep it from ending.
    text = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")
    script = pathlib.Path(__file__).with_name("form.js").read_text(encoding="utf-8")
    return f"<script>window.ATELIER = {text};</script>\n<script>{script}</script>\n{_modules()}"


def _modules() -> str:
    """What islands share is fetched with the page, so that no tab waits for one module after another."""
    shared = (path for path in live.ISLANDS.glob("*.js") if not path.with_suffix(".html").exists())
    link = '<link rel="modulepreload" fetchpriority="low" href="islands/{}">'
    return "\n".join(link.format(path.name) for path in sorted(shared))
