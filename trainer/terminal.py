"""Shows a run's events to a person: a progress bar on a terminal, plain lines elsewhere; lines also go to log.txt."""

import contextlib
import os
import sys

from tqdm import tqdm

from trainer.job.words import say
from trainer.run import events
from trainer.run.folder import RunFolder


class Terminal:
    """What is shown of one run. Where stdout is the run's log.txt itself, nothing is written twice."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._bar: tqdm | None = None  # type: ignore[type-arg]
        self._stage = ""
        self._started: events.Started | None = None
        self._log = None if _is_file(sys.stdout.fileno(), run) else run.log

    def show(self, event: events.Event) -> None:
        """Shows `event`, each kind in its own way; kinds without a word of their own are not shown."""
        match event:
            case events.Stage():
                self._show_stage(event)
            case events.Started():
                self._show_started(event)
            case events.Step():
                self._show_step(event)
            case events.Epoch():
                self._show_epoch(event)
            case events.Sample():
                self._show_sample(event)
            case events.Saved():
                self._line(say("cli_saved", file=self._run.path / event.file, error=event.largest_relative_error))
            case events.Paused():
                self._line(say("cli_paused", step=event.step, path=self._run.path))
            case events.Resumed():
                self._line(say("cli_resumed", step=event.step))
            case events.Warned() | events.Replanned():
                self._line(say("warning_line", text=event.text))
            case events.Stopped():
                key = "cli_stopped" if event.file else "cli_cut_off" if event.step else "cli_cut_off_at_once"
                self._end(say(key, step=event.step, path=self._run.path))
            case events.Failed():
                self._end(say("cli_failed", reason=event.reason), event.advice)
            case events.Finished():
                lines = [say("cli_finished", minutes=f"{event.training_s / 60:.1f}", file=self._run.path / event.file)]
                grid = [say("cli_grid", file=self._run.path / event.grid)] if event.grid else []
                self._end(*lines, *grid)

    def _show_stage(self, event: events.Stage) -> None:
        if self._bar is not None:  # which stands still while samples are drawn
            self._bar.set_description(event.text)
        elif event.text != self._stage:
            self._line(event.text)
        self._stage = event.text

    def _show_started(self, event: events.Started) -> None:
        self._started = event
        if sys.stdout.isatty():
            self._bar = tqdm(
                total=event.steps, initial=event.first_step, unit="step", dynamic_ncols=True, file=sys.stdout
            )

    def _show_step(self, event: events.Step) -> None:
        if self._bar is not None:
            self._bar.set_description("", refresh=False)
            self._bar.set_postfix({"epoch": event.epoch, "loss": f"{event.loss:.4f}"}, refresh=False)
            self._bar.update()

    def _show_epoch(self, event: events.Epoch) -> None:
        self._stage = ""  # samples are drawn after every epoch
        if self._started:
            lengths = {"epochs": self._started.epochs, "steps": self._started.steps}
            self._line(say("cli_epoch", epoch=event.epoch, step=event.step, loss=event.loss, **lengths))

    def _show_sample(self, event: events.Sample) -> None:
        if self._started and event.prompt == len(self._started.prompts):
            self._line(say("cli_samples", count=event.prompt, epoch=event.epoch, folder=self._run.samples))

    def _end(self, *lines: str) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        for line in lines:
            self._line(line)

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it, or the terminal is gone; a training goes on all the same
            if self._bar is not None:
                self._bar.write(text, file=sys.stdout)
            else:
                print(text, flush=True)
        if self._log is not None:
            # What a full disk does not take is on the terminal, and the events say that it is full.
            with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as stream:
                stream.write(text + "\n")


def _is_file(descriptor: int, run: RunFolder) -> bool:
    return run.log.exists() and os.path.samestat(os.fstat(descriptor), run.log.stat())
