"""Carries out a run: holds its lock, tells of what happens, and turns every error into a sentence."""

import contextlib
import importlib
import importlib.metadata
import os
import pathlib
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trainer.job.base_model import describe
from trainer.job.fields import Invalid
from trainer.job.hub_names import of_hub
from trainer.job.settings import Job
from trainer.job.trouble import Refused, Trouble, first_line, is_out_of_memory
from trainer.job.words import say
from trainer.run import ending, events
from trainer.run.folder import (
    Busy,
    RunFolder,
    create,
    forget_requests,
    forget_unfinished,
    held,
    read_job,
    request,
    take_request,
    write_job,
)
from trainer.run.paths import with_whole_paths
from trainer.run.process import BEGUN
from trainer.run.room import disk_trouble

Show = Callable[[events.Event], None]
_LAST_WORD_S = 60.0
"""So long the first process may take to save what was learned and to say what has happened."""
_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "prodigyopt",
    "pytorch-optimizer",
    "safetensors",
)


def carry_out(run: RunFolder, show: Show) -> int:
    """Trains `run` from where it is to its end or until it is asked to stop; `show` sees every event.

    The exit status: 0 after `finished` or `stopped`, 130 when it was ended at once, 1 after `failed`. Raises
    Trouble when the run cannot be begun at all, because it is no run, is finished or has a trainer already.
    """
    if not is_first_process():
        return _carry_out_beside(job_of(run), run)
    job = job_of(run)
    try:
        if _is_done(run):
            raise Trouble("run_done", run=run.name)
        with held(run):
            return _carry_out(job, run, show)
    except Busy:
        raise Trouble("run_busy", run=run.name) from None
    except OSError as error:  # of the lock, or of the log and the events, when a full disk takes no word of it either
        raise disk_trouble(error, run.path) from error


def is_first_process() -> bool:
    """False in all but one of the processes that `accelerate launch` starts together."""
    return os.environ.get("RANK", "0") == "0"


def new_run(job: Job) -> RunFolder:
    """A new run folder for `job`, the same one in all processes that train together. Raises Trouble."""
    run = RunFolder(pathlib.Path())
    if is_first_process():
        try:
            outputs = pathlib.Path(os.path.expanduser(job.output.folder)).absolute()
            run = create(outputs, job.output.name)
            write_job(run, with_whole_paths(job, outputs), {})
        except OSError as error:
            raise Trouble("disk", reason=error) from error
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return run
    return RunFolder(pathlib.Path(importlib.import_module("trainer.engine.device").said_by_first(str(run.path))))


def job_of(run: RunFolder) -> Job:
    """The job of `run`. Raises Trouble where there is none that can be read."""
    try:
        return read_job(run)
    except FileNotFoundError:
        raise Trouble("run_missing", path=run.path) from None
    except Invalid as error:
        raise Trouble(
            "run_unreadable", reason="; ".join(message.text.rstrip(".") for message in error.messages)
        ) from error
    except OSError as error:
        raise Trouble("disk", reason=error) from error


class _StopAsked(Exception):
    """A stop was asked for before the first step."""


def _carry_out(job: Job, run: RunFolder, show: Show) -> int:
    log, alone = events.EventLog(run.events), os.environ.get("WORLD_SIZE", "1") == "1"
    saved = Saved()
    for event in events.read(run.events)[0]:
        saved.see(event)
    saved.has_begun = False

    def tell(event: events.Event) -> None:
        saved.see(event.model_dump())
        log.write(event)
        show(event)

    def heed(event: events.Event) -> None:
        tell(event)
        # Before the first step nothing else listens, and loading a large model and encoding take minutes.
        if isinstance(event, events.Stage) and not saved.has_begun and alone and take_request(run, "stop"):
            raise _StopAsked

    forget_requests(run, before=float(os.environ.get(BEGUN, "inf")))
    forget_unfinished(run)
    try:
        # torch and diffusers take seconds to import: a person should see that something happens.
        tell(events.Stage(text=say("stage_program")))
        # OpenMP's threads wait by spinning, and then stand still for seconds as soon as anything else, such as the
        # browser, wants a processor. So short a spin costs nothing on a quiet machine.
        os.environ.setdefault("GOMP_SPINCOUNT", "5000")
        with stopped_by_ctrl_c(run):
            if not _fetched(job, tell, lambda: take_request(run, "stop")):
                tell(events.Stopped(step=saved.step, epoch=saved.epoch, file=""))
                return 0
            loop = importlib.import_module("trainer.engine.loop")
            write_job(run, job, versions())
            loop.train(job, run, heed)
        return 0
    except _StopAsked:
        tell(events.Stopped(step=saved.step, epoch=saved.epoch, file=""))
        return 0
    except KeyboardInterrupt:
        tell(events.Stopped(step=saved.step, epoch=saved.epoch, file=""))
        return 130
    except Exception as error:  # noqa: BLE001 whatever it is, the run folder must say so
        trouble = traced(run, error)
        tell(events.Failed(reason=trouble.reason, advice=trouble.advice, **trouble.remedy._asdict()))
        return 1
    finally:
        log.flush()


def _carry_out_beside(job: Job, run: RunFolder) -> int:
    """Trains together with the first process, which alone tells what happens."""
    begun = run.events.stat().st_size if run.events.is_file() else 0

    def ended() -> bool:
        return any(event["kind"] in ("stopped", "failed") for event in events.read(run.events, begun)[0])

    try:
        if _fetched(job, lambda event: None, ended):
            importlib.import_module("trainer.engine.loop").train(job, run, lambda event: None)
    except Trouble:
        # As soon as one ends, what has started them ends all others: the first process, if it has met with it too, has
        # time for its last words. It has not where memory ran out in this process alone.
        until = time.monotonic() + _LAST_WORD_S
        while not ended() and time.monotonic() < until:
            time.sleep(0.2)
        return 1
    return 0


def _fetched(job: Job, tell: Show, stop: Callable[[], bool]) -> bool:
    """Whether all models are on this machine, after they were fetched if need be; False when `stop` said so before."""
    wanted = job.model
    if describe(wanted.base, wanted.family).kind != "hub" and not any(map(of_hub, (wanted.vae, wanted.tokenizer))):
        return True
    # Its faster way of fetching can neither be stopped nor go on in the middle of a file.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    hub = importlib.import_module("trainer.hub")
    if not (hub.fetch(wanted.base, wanted.family, tell, stop) and hub.fetch_vae(wanted.vae, tell, stop)):
        return False
    base = describe(wanted.base, wanted.family).path
    # A folder has a tokenizer of its own.
    return base is None or not base.is_file() or bool(hub.fetch_tokenizer(wanted.tokenizer, tell, stop))


def _is_done(run: RunFolder) -> bool:
    """Whether the last trainer of `run` finished it, and did not fail while it said so."""
    return ending.last_end(run) == "finished"


class Saved:
    """The step and epoch of the last saved state, as far as the events tell."""

    def __init__(self) -> None:
        self.step = self.epoch = 0
        self.has_begun = False
        self._next = (0, 0)

    def see(self, event: Mapping[str, Any]) -> None:
        """Takes in an event. Whatever comes after `keeping`, but for a failure, comes after the state was saved."""
        if event["kind"] == "started":
            self.has_begun = True
            self._next = (event["first_step"], event["first_step"] // max(1, event["steps_per_epoch"]))
        if event["kind"] not in ("stage", "failed"):
            self.step, self.epoch = self._next
        if event["kind"] == "keeping":
            self._next = (event["step"], event["epoch"])


@contextlib.contextmanager
def stopped_by_ctrl_c(run: RunFolder) -> Iterator[None]:
    """Ctrl-C asks for what `trainer stop` asks for; once more, it ends the training at once."""
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        request(run, "stop")
        # Not print: the signal may have come in the middle of another one.
        os.write(sys.stderr.fileno(), f"\n{say('cli_ctrl_c')}\n".encode())

    # Where it is ignored, as by a program in the background, it stays so; and only the main thread may change it.
    usual = before is signal.default_int_handler and threading.current_thread() is threading.main_thread()
    if usual:
        signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        if usual:
            signal.signal(signal.SIGINT, before)


def drawn(run: RunFolder, wish: Mapping[str, Any], tell: Callable[[str], None]) -> pathlib.Path:
    """The picture of all that a Wish (see engine/trying.py), given by its fields, has drawn with a LoRA of `run`.

    Raises Trouble, Refused and Invalid, whatever it is that went wrong.
    """
    job_of(run)
    trying = importlib.import_module("trainer.engine.trying")
    try:
        return pathlib.Path(trying.draw(run, trying.Wish(**wish), tell))
    except (Trouble, Refused, Invalid, BrokenPipeError):
        raise
    except Exception as error:
        raise traced(run, error) from error


def traced(run: RunFolder, error: Exception) -> Trouble:
    """`error` as a sentence, once its traceback is in the log of `run`."""
    # A disk that takes no traceback may still take the sentence.
    with contextlib.suppress(OSError), run.log.open("a", encoding="utf-8") as stream:
        traceback.print_exception(error, file=stream)
    of_disk = isinstance(error, OSError) and not is_out_of_memory(error)
    return disk_trouble(error, run.path) if of_disk else understood(error)


def understood(error: BaseException) -> Trouble:
    """`error` as what happened and what to do."""
    reason = first_line(error)
    if isinstance(error, Trouble):
        return error
    if is_out_of_memory(error):
        return Trouble("out_of_memory", reason=reason)
    return Trouble("unexpected", reason=f"{type(error).__name__}: {reason}")


def versions() -> dict[str, str]:
    """The versions of everything that a result may depend on."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
