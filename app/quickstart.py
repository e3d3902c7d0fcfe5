"""`--quickstart`: the starter training at once, with its progress in the terminal."""

import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from tqdm import tqdm

from app import jobs, shelf
from app.words import say
from trainer.run import events
from trainer.run.ending import ENDS
from trainer.run.folder import RunFolder, is_alive

POLL_S = 0.25
START_S = 60.0

Event = Mapping[str, Any]


def start() -> "Future[int]":
    """Starts the starter training; the future is the exit status, there once it has ended. Raises OSError, Invalid."""
    run = jobs.start(shelf.read(shelf.STARTER).job)
    print(say("quickstart.started", path=run.path), flush=True)
    status: Future[int] = Future()
    threading.Thread(target=_show_all, args=(run, status), daemon=True, name="quickstart").start()
    return status


def _show_all(run: RunFolder, status: "Future[int]") -> None:
    try:
        shown = Progress(run.path)
        ends = [event for event in follow(run) if shown.show(event)]
        status.set_result(0 if ends and ends[-1]["kind"] == "finished" else 1)
    except Exception as error:  # noqa: BLE001 it goes on in the thread that waits for the status
        status.set_exception(error)


def follow(run: RunFolder, sleep: Callable[[float], None] = time.sleep) -> Iterator[Event]:
    """Every event of `run` as it comes, up to the one that ends it; a made-up `failed` when its trainer is gone."""
    offset, seen_alive, began = 0, False, time.monotonic()
    while True:
        alive = is_alive(run)
        # Read after looking at the lock: what a trainer writes last is there when its lock is free.
        found, offset = events.read(run.events, offset)
        for event in found:
            yield event
            if event["kind"] in ENDS:
                return
        seen_alive = seen_alive or alive
        if not alive and (seen_alive or time.monotonic() - began > START_S):
            yield {
                "kind": "failed",
                "reason": say("quickstart.gone"),
                "advice": say("quickstart.see_log", path=run.log),
            }
            return
        sleep(POLL_S)


class Progress:
    """Shows events: a bar with the latest loss on a terminal, plain lines elsewhere."""

    def __init__(self, folder: pathlib.Path, terminal: bool | None = None) -> None:
        self._folder = folder
        self._terminal = sys.stdout.isatty() if terminal is None else terminal
        self._bar: Any = None
        self._stage = ""
        self._lengths: dict[str, Any] = {}

    def show(self, event: Event) -> bool:
        """Shows `event`; whether it ends the run."""
        match event["kind"]:
            case "stage":
                self._show_stage(event)
            case "started":
                self._show_started(event)
            case "step" if self._bar is not None:
                self._bar.set_postfix({"epoch": event["epoch"], "loss": f"{event['loss']:.4f}"}, refresh=False)
                self._bar.update(event["step"] - self._bar.n)
            case "sample" if event["prompt"] == self._lengths.get("prompts"):
                self._line(say("quickstart.samples", count=event["prompt"], epoch=event["epoch"]))
            case "epoch":
                self._line(say("quickstart.epoch", **{**self._lengths, **event, "loss": f"{event['loss']:.4f}"}))
            case "warned":
                self._line(event["text"])
        if event["kind"] not in ENDS:
            return False
        self._show_end(event)
        return True

    def _show_stage(self, event: Event) -> None:
        if event["text"] != self._stage:
            self._stage = event["text"]
            self._line(self._stage)

    def _show_started(self, event: Event) -> None:
        self._lengths = {"epochs": event["epochs"], "steps": event["steps"], "prompts": len(event["prompts"])}
        self._line(say("quickstart.lengths", device=event["device"], pictures=event["pictures"], **self._lengths))
        if self._terminal:
            self._bar = tqdm(
                total=event["steps"], initial=event["first_step"], unit="step", dynamic_ncols=True, file=sys.stdout
            )

    def _show_end(self, event: Event) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if event["kind"] == "failed":
            self._line(say("quickstart.failed", reason=event["reason"], advice=event["advice"]))
            return
        if event["kind"] == "finished":
            self._line(say("quickstart.finished", minutes=f"{event['training_s'] / 60:.1f}"))
        self._line(say("quickstart.file", path=self._folder / event["file"]))
        if event.get("grid"):
            self._line(say("quickstart.grid", path=self._folder / event["grid"]))

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stdout)
        else:
            print(text, flush=True)
