"""The verb `doctor`: looks at this machine and says in words what is well, worth knowing or wrong."""

import argparse
import contextlib
import json
import pathlib
import signal
import sys
from collections.abc import Mapping

from trainer.doctor.examination import lines
from trainer.doctor.line import Line
from trainer.job.words import say

_MARKS = {"yes": "✓", "note": "!", "no": "✗"}
_PLAIN_MARKS = {"yes": "ok", "note": "! ", "no": "X "}


def add_doctor(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the parser of the verb to argparse's `verbs`."""
    text = say("cli_doctor")
    add_arguments(verbs.add_parser("doctor", help=text, description=f"{text}. {say('cli_doctor_more')}"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the doctor may be told."""
    parser.add_argument("--json", action="store_true", help=say("cli_doctor_json"))
    parser.add_argument("--no-network", action="store_true", help=say("cli_doctor_no_network"))
    parser.add_argument("--home", type=pathlib.Path, metavar="DIR", help=say("cli_doctor_home"))
    parser.add_argument("--outputs", type=pathlib.Path, metavar="DIR", help=say("cli_doctor_outputs"))
    parser.set_defaults(verb=run)


def run(options: argparse.Namespace) -> int:
    """Prints each line as it is known; 0 when nothing is wrong, 1 when something is, 130 after Ctrl-C."""
    given = {"LORA_ATELIER_HOME": options.home, "LORA_ATELIER_OUTPUTS": options.outputs}
    places = {name: str(folder.absolute()) for name, folder in given.items() if folder is not None}
    # Otherwise the probes would go on when this is asked to end.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    counted = {"yes": 0, "note": 0, "no": 0}
    try:
        with contextlib.closing(lines(places, network=not options.no_network)) as found:
            for each in found:
                counted[each.ok] += 1
                print(json.dumps(each.told()) if options.json else _worded(each), flush=True)
    except KeyboardInterrupt:
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    if not options.json:
        print(say("doctor_count", **counted))
    return 1 if counted["no"] else 0


def _worded(each: Line) -> str:
    """A line for a terminal, what to do below it."""
    marks = _marks()
    told = [f"{marks[each.ok]} {each.title}: {each.text}"]
    told += [f"    {each.advice}"] if each.advice else []
    told += [f"    {each.command}"] if each.command else []
    text = "\n".join(told)
    return text.encode(sys.stdout.encoding or "utf-8", "replace").decode(sys.stdout.encoding or "utf-8")


def _marks() -> Mapping[str, str]:
    try:
        "".join(_MARKS.values()).encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return _PLAIN_MARKS
    return _MARKS
