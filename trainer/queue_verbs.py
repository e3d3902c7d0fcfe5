"""The queue on the command line: python -m trainer queue add · list · move · … · work."""

import argparse
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from trainer.check import read_job_file, wrong_with
from trainer.job.fields import Invalid, Message, parse, with_sets
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.job.words import say
from trainer.run import presence, queue
from trainer.run.devices import devices
from trainer.run.folder import RunFolder, is_alive
from trainer.run.home import home
from trainer.run.worker import work

Arguments = argparse.ArgumentParser


def add_queue(verbs: Any) -> None:
    """Adds `queue` and all that can be done with it to argparse's `verbs`."""
    top = verbs.add_parser("queue", help=say("cli_queue"), description=say("cli_queue_more"))
    found = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, arguments, do in _VERBS:
        words = say(f"cli_queue_{name}")
        parser = found.add_parser(name, help=words, description=words)
        for argument in arguments:
            argument(parser)
        parser.set_defaults(verb=_said, do=do)


def _said(options: argparse.Namespace) -> int:
    """Does what is asked for and prints what it says. Raises Invalid, Refused and Trouble."""
    try:
        for line in options.do(options):
            print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Trouble("disk", reason=error) from error
    except KeyboardInterrupt:
        print(say("queue_told_left"), flush=True)
        return 130
    return 0


def _add(options: argparse.Namespace) -> Iterator[str]:
    entry = queue.add(_ready(read_job_file(options.job, options.set)))
    yield say("queue_said_add", id=entry.id, name=entry.name)
    yield from _unworked()


def _ready(job: Job) -> Job:
    """`job` when nothing forbids its training. Raises Invalid."""
    wrong = wrong_with(job)
    if wrong:
        raise Invalid([Message("", text) for text in wrong])
    return job


def _list(options: argparse.Namespace) -> Iterator[str]:
    number = 0
    found, unreadable = queue.everything()
    for entry in found:
        number += entry.state == "waiting"
        yield say(
            "queue_line",
            number=number if entry.state == "waiting" else "–",
            id=entry.id,
            state=say(f"queue_state_{_state(entry)}"),
            name=entry.name,
        )
        if entry.state == "failed":
            yield say("queue_line_more", text=f"{entry.reason} {entry.advice}".strip())
        elif entry.run and entry.state != "waiting":
            yield say("queue_line_more", text=entry.run)
    yield from (say("queue_unreadable", name=name, folder=queue.place()) for name in unreadable)
    if not found:
        yield say("queue_empty")
    elif queue.is_held():
        yield say("queue_said_hold")
    else:
        yield from _unworked()


def _state(entry: queue.Entry) -> str:
    """What it is doing as far as can be seen: its trainer and its worker may have been killed."""
    gone = entry.state == "running" and not (queue.is_worked() or is_alive(RunFolder(pathlib.Path(entry.run))))
    return "interrupted" if gone else entry.state


def _move(options: argparse.Namespace) -> Iterator[str]:
    yield say("queue_said_move", name=queue.move(options.id, options.position).name)
    yield from _list(options)


def _duplicate(options: argparse.Namespace) -> Iterator[str]:
    entry = queue.duplicate(options.id)
    yield say("queue_said_add", id=entry.id, name=entry.name)


def _edit(options: argparse.Namespace) -> Iterator[str]:
    entry = queue.find(options.id)
    job = _ready(parse(with_sets(entry.job.model_dump(mode="json"), options.set)))
    yield say("queue_said_edit", name=queue.edit(entry.id, job).name)


def _remove(options: argparse.Namespace) -> Iterator[str]:
    yield say("queue_said_remove", name=queue.remove(options.id).name)


def _again(options: argparse.Namespace) -> Iterator[str]:
    yield say("queue_said_again", name=queue.again(options.id).name)
    yield from _unworked()


def _hold(options: argparse.Namespace) -> Iterator[str]:
    queue.hold(True)
    yield say("queue_said_hold")


def _go(options: argparse.Namespace) -> Iterator[str]:
    queue.hold(False)
    yield say("queue_said_go")
    yield from _unworked()


def _work(options: argparse.Namespace) -> Iterator[str]:
    if queue.is_held():
        yield say("queue_said_hold")
    work(devices(), _print)
    yield say("queue_told_done")


def _print(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        # A full disk takes no word of the log; the queue has to outlive it.
        return


def _unworked() -> Iterator[str]:
    # An open page soon begins a worker.
    if queue.has_work() and not queue.is_worked() and not presence.ports(home()):
        yield say("queue_unworked")


# ---- arguments ----


def _job(parser: Arguments) -> None:
    parser.add_argument("job", type=pathlib.Path, metavar="JOB", help=say("cli_job"))


def _set(parser: Arguments) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help=say("cli_set"))


def _id(parser: Arguments) -> None:
    parser.add_argument("id", metavar="ID", help=say("cli_queue_id"))


def _position(parser: Arguments) -> None:
    parser.add_argument("position", type=int, metavar="POSITION", help=say("cli_queue_position"))


_VERBS: tuple[
    tuple[str, tuple[Callable[[Arguments], None], ...], Callable[[argparse.Namespace], Iterator[str]]], ...
] = (
    ("add", (_job, _set), _add),
    ("list", (), _list),
    ("move", (_id, _position), _move),
    ("duplicate", (_id,), _duplicate),
    ("edit", (_id, _set), _edit),
    ("remove", (_id,), _remove),
    ("again", (_id,), _again),
    ("hold", (), _hold),
    ("go", (), _go),
    ("work", (), _work),
)
