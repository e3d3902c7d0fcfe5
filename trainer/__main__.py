"""The command line: python -m trainer run · check · resume · pause · stop · queue · …, and the tools for LoRA files."""

import argparse
import contextlib
import faulthandler
import os
import pathlib
import sys
from collections.abc import Iterable

from trainer.carry_out import carry_out, is_first_process, new_run
from trainer.check import plan_lines, read_job_file, wrong_with
from trainer.doctor.command import add_doctor
from trainer.import_kohya import import_file
from trainer.job.fields import Invalid, settings_table
from trainer.job.trouble import Refused, Trouble
from trainer.job.words import say
from trainer.queue_verbs import add_queue
from trainer.quiet import quieten
from trainer.run import folder, queue
from trainer.run.folder import RunFolder
from trainer.run.process import BEGUN
from trainer.run.room import disk_trouble
from trainer.terminal import Terminal
from trainer.tools.arguments import add_tools
from trainer.try_verb import add_try


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 done, 1 failed, 2 something in what was asked for is wrong."""
    options = parser().parse_args(arguments)
    try:
        status = int(options.verb(options))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return unheard()
    except Invalid as error:
        return complain(message.text for message in error.messages)
    except Trouble as error:
        return complain([f"{error.reason} {error.advice}"])
    except Refused as error:
        return complain([str(error)])


def unheard() -> int:
    """The exit status when nobody reads any more what is printed, as after `| head`; nothing more is."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # what a shell says of a program that a closed pipe has ended


def run(options: argparse.Namespace) -> int:
    """Starts a new training in a new run folder."""
    job = read_job_file(options.job, options.set)
    problems = wrong_with(job)
    if problems:
        return complain(problems)
    here = new_run(job)
    if is_first_process():
        print(say("cli_run_folder", path=here.path), flush=True)
    return carry_on(here)


def check(options: argparse.Namespace) -> int:
    """Prints the plan and every problem."""
    job = read_job_file(options.job, options.set)
    print("\n".join(plan_lines(job)))
    problems = wrong_with(job)
    if not problems:
        print(say("plan_ok"))
    return complain(problems)


def resume(options: argparse.Namespace) -> int:
    """Goes on with a run, from its first step where nothing has been saved yet; ends the pause of one that waits."""
    here = RunFolder(options.run)
    if folder.is_alive(here) and folder.take_request(here, "pause"):
        print(say("cli_asked_resume", run=here.path))
        return 0
    # Of what was begun by the queue or the page, the queue knows. Without it a training goes on all the same.
    if BEGUN not in os.environ and is_first_process() and not folder.is_alive(here):
        with contextlib.suppress(OSError, Refused):
            queue.resumed(here)
    return carry_on(here)


def carry_on(here: RunFolder) -> int:
    """Trains `here` and shows it on the terminal."""
    quieten()
    return carry_out(here, Terminal(here).show)


def stop(options: argparse.Namespace) -> int:
    """Leaves the request to stop in the run folder."""
    return ask(RunFolder(options.run), "stop")


def stop_after_epoch(options: argparse.Namespace) -> int:
    """Leaves the request to stop at the end of the epoch in the run folder."""
    return ask(RunFolder(options.run), "stop_after_epoch")


def pause(options: argparse.Namespace) -> int:
    """Leaves the request to wait in the run folder."""
    return ask(RunFolder(options.run), "pause")


def save(options: argparse.Namespace) -> int:
    """Leaves the request to save now in the run folder."""
    return ask(RunFolder(options.run), "save")


def sample(options: argparse.Namespace) -> int:
    """Leaves the request to draw samples now in the run folder."""
    return ask(RunFolder(options.run), "sample")


def ask(here: RunFolder, what: folder.Request) -> int:
    """Leaves a request in a run folder where there is a trainer to find it."""
    if not folder.is_alive(here):
        return complain([say("cli_not_running", run=here.path)])
    try:
        folder.request(here, what)
    except OSError as error:
        raise disk_trouble(error, here.path) from error
    print(say(f"cli_asked_{what}", run=here.path))
    return 0


def settings(options: argparse.Namespace) -> int:
    """Prints the table of all settings."""
    print(settings_table())
    return 0


def import_kohya(options: argparse.Namespace) -> int:
    """Makes a job from a file or command of Kohya's and prints what became of every key."""
    # A file may hold characters that the terminal, or a pipe on Windows, has no code for.
    sys.stdout.reconfigure(errors="replace")
    for line in import_file(options.file, options.dataset_config, options.out, as_json=options.report == "json"):
        print(line)
    return 0


def complain(sentences: Iterable[str]) -> int:
    """Prints each sentence as a problem; the exit status, 0 when there is none."""
    lines = [say("problem_line", text=sentence) for sentence in sentences]
    for line in lines:
        print(line, file=sys.stderr)
    return 2 if lines else 0


def parser() -> argparse.ArgumentParser:
    """The arguments of every verb."""
    top = argparse.ArgumentParser(prog="python -m trainer", description=say("cli_about"))
    verbs = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for verb in (run, check):
        sub = verbs.add_parser(verb.__name__, help=say(f"cli_{verb.__name__}"), description=say(f"cli_{verb.__name__}"))
        sub.add_argument("job", type=pathlib.Path, metavar="JOB", help=say("cli_job"))
        sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help=say("cli_set"))
        sub.set_defaults(verb=verb)
    for verb in (resume, stop, stop_after_epoch, pause, save, sample):
        words, name = say(f"cli_{verb.__name__}"), verb.__name__.replace("_", "-")
        sub = verbs.add_parser(name, help=words, description=words)
        sub.add_argument("run", type=pathlib.Path, metavar="RUN", help=say("cli_run_argument"))
        sub.set_defaults(verb=verb)
    _import_arguments(verbs.add_parser("import", help=say("cli_import"), description=say("cli_import")))
    verbs.add_parser("settings", help=say("cli_settings")).set_defaults(verb=settings)
    add_try(verbs)
    add_queue(verbs)
    add_tools(verbs)
    add_doctor(verbs)
    return top


def _import_arguments(sub: argparse.ArgumentParser) -> None:
    path = {"type": pathlib.Path, "default": None}
    sub.add_argument("file", metavar="FILE", help=say("cli_import_file"))
    sub.add_argument("--out", **path, metavar="JOB.json", help=say("cli_import_out"))
    sub.add_argument("--report", choices=("text", "json"), default="text", help=say("cli_import_report"))
    sub.add_argument("--dataset-config", **path, metavar="TOML", help=say("cli_import_dataset"))
    sub.set_defaults(verb=import_kohya)


if __name__ == "__main__":
    faulthandler.enable()  # a library that crashes leaves at least a traceback
    sys.exit(main())
