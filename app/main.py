"""The web application: the page with its bar and tabs, mounted beside the small HTTP routes.

A tab is a module with `TITLE`, the key of its title in the table of words, and `build(form)`, which lays out its
widgets inside the tab. It is added by naming it in `TABS`.
"""

import fastapi
import gradio as gr
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app import live
from app.forms import Form
from app.tabs import compare, dataset, model, run, samples, training
from app.words import say

TABS = (model, dataset, training, samples, run, compare)
HOSTS = ["127.0.0.1", "localhost"]


def create_app() -> fastapi.FastAPI:
    """The whole application; it answers only requests that were sent to this machine by name."""
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Without it a foreign page could reach this one through a name that resolves to 127.0.0.1 (DNS rebinding).
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    app.include_router(live.router)
    return gr.mount_gradio_app(app, build(), path="/", server_name="127.0.0.1", run_history=False, footer_links=[])


def build() -> gr.Blocks:
    """The page."""
    form = Form()
    with gr.Blocks(title=say("app.title")) as page, gr.Tabs(elem_id="tabs"):
        for tab in TABS:
            with gr.Tab(say(tab.TITLE), id=tab.TITLE.rpartition(".")[2]):
                tab.build(form)
    return page
