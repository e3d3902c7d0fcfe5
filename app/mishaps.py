"""Errors of the program that serves the page: as a sentence with an advice for the page, and whole in its log."""

import contextlib
import functools
import html
import time
import traceback
from collections.abc import Callable
from typing import Any

import fastapi
import gradio as gr
from fastapi.responses import JSONResponse

from app import places
from app.words import say

MAX_LOG_BYTES = 4 * 2**20
"""A log that is longer is begun anew: what fails again and again must not fill the disk."""


def noted(error: Exception) -> dict[str, str]:
    """`error` for a page, as `reason`, `advice` and `details`, the traceback; that is in the program's log too."""
    path = places.home() / "log.txt"
    details = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        begin = not path.exists() or path.stat().st_size > MAX_LOG_BYTES
        with path.open("w" if begin else "a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{details}\n")
    cause = str(error).strip().splitlines() or [""]
    reason = say("mishap.reason", error=f"{type(error).__name__}: {cause[0]}".removesuffix(": "))
    advice = say("mishap.disk_advice" if isinstance(error, OSError) else "mishap.advice", log=path)
    return {"reason": reason, "advice": advice, "details": details}


def answer(request: fastapi.Request, error: Exception) -> JSONResponse:
    """The answer of a route in which `error` was raised."""
    return JSONResponse({"detail": noted(error)}, 500, {"Cache-Control": "no-store"})


def told_to_island(do: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`do`, which the JavaScript of an island calls, with its errors in an answer that the page can show.

    It is given an object, an empty one where whoever calls sends anything else.
    """

    @functools.wraps(do)
    def done(given: Any) -> Any:
        try:
            return do(given if isinstance(given, dict) else {})
        except Exception as error:
            raise fastapi.HTTPException(500, noted(error)) from error

    return done


def tell_of_all(page: gr.Blocks) -> None:
    """Lets every event of `page` that ends in an error say so in a sentence, with the traceback in a fold."""
    for event in page.fns.values():
        if event.fn is not None:
            event.fn = told_by_gradio(event.fn)


def told_by_gradio(do: Callable[..., Any]) -> Callable[..., Any]:
    """`do`, which Gradio calls for an event, with its errors as what Gradio shows of one, as HTML (see news.js)."""

    @functools.wraps(do)
    def done(*given: Any) -> Any:
        try:
            return do(*given)
        except gr.Error:
            raise
        except Exception as error:
            found = {name: html.escape(text) for name, text in noted(error).items()}
            fold = f"<summary>{html.escape(say('mishap.details'))}</summary><pre>{found['details']}</pre>"
            text = f"<strong>{found['reason']}</strong><p>{found['advice']}</p><details>{fold}</details>"
            raise gr.Error(text, None, print_exception=False) from error

    return done
