"""The verb that draws pictures with a LoRA file of a run: python -m trainer try."""

import argparse
import math
import pathlib
from typing import Any

from trainer.carry_out import drawn
from trainer.job.words import say
from trainer.quiet import quieten
from trainer.run.folder import RunFolder


def add_try(verbs: Any) -> None:
    """Adds the verb to `verbs`, what `add_subparsers` gave."""
    sub = verbs.add_parser("try", help=say("cli_try"), description=say("cli_try_more"))
    sub.add_argument("run", type=pathlib.Path, metavar="RUN", help=say("cli_run_argument"))
    sub.add_argument("--file", metavar="FILE", help=say("cli_try_file"))
    sub.add_argument(
        "--weight", dest="weights", type=_weight, action="append", metavar="WEIGHT", help=say("cli_try_weight")
    )
    sub.add_argument("--prompt", dest="prompts", action="append", metavar="TEXT", help=say("cli_try_prompt"))
    sub.set_defaults(verb=_try)


def _try(options: argparse.Namespace) -> int:
    quieten()
    wish = {name: value for name in ("file", "weights", "prompts") if (value := getattr(options, name))}
    grid = drawn(RunFolder(options.run), wish, lambda text: print(text, flush=True))
    print(say("cli_grid", file=grid))
    return 0


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not abs(weight) <= 100:
        raise argparse.ArgumentTypeError(say("cli_bad_weight", text=text))
    return weight
