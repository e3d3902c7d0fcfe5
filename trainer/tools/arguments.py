"""The arguments of every tool, apart from the tools: a command line that only explains loads nothing heavy."""

import argparse
import importlib
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import Any

from trainer.job.trouble import Trouble
from trainer.job.words import say

PRECISIONS = ("fp32", "fp16", "bf16")


def add_tools(verbs: Any) -> None:
    """Adds a parser for each tool to argparse's `verbs`."""
    for name, arguments in _TOOLS:
        text = say(f"cli_{name}")
        parser = verbs.add_parser(name, help=text, description=f"{text}. {say(f'cli_{name}_more')}")
        arguments(parser)
        parser.set_defaults(verb=run_tool, tool=name)


def run_tool(options: argparse.Namespace) -> int:
    """Carries out a tool, a file of its name beside this one. Raises Refused and Trouble."""
    # Otherwise a half-written file would stay when it is asked to end.
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return int(importlib.import_module(f"trainer.tools.{options.tool}").run(options))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Trouble("disk", reason=error) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _inspect(parser: argparse.ArgumentParser) -> None:
    _path(parser, "file", "FILE", "cli_lora_file")
    parser.add_argument("--json", action="store_true", help=say("cli_json"))
    parser.add_argument("--picture", type=pathlib.Path, metavar="PNG", help=say("cli_picture"))


def _convert(parser: argparse.ArgumentParser) -> None:
    _path(parser, "file", "FILE", "cli_convert_file")
    _path(parser, "out", "OUT", "cli_out")
    parser.add_argument("--to", choices=("kohya", "peft"), help=say("cli_to"))
    _precision(parser, "cli_precision_kept")


def _merge(parser: argparse.ArgumentParser) -> None:
    _path(parser, "out", "OUT", "cli_out")
    parser.add_argument("files", nargs="+", metavar="FILE[=WEIGHT]", help=say("cli_weighted"))
    parser.add_argument("--rank", type=_rank_or_exact, metavar="N|exact", help=say("cli_merge_rank"))
    parser.add_argument("--checkpoint", type=pathlib.Path, metavar="BASE", help=say("cli_checkpoint"))
    _precision(parser, "cli_precision_widest")


def _resize(parser: argparse.ArgumentParser) -> None:
    _path(parser, "file", "FILE", "cli_lora_file")
    _path(parser, "out", "OUT", "cli_out")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--rank", type=_rank, metavar="N", help=say("cli_resize_rank"))
    how.add_argument("--keep", type=_share, metavar="SHARE", help=say("cli_keep"))
    _precision(parser, "cli_precision_kept")


def _extract(parser: argparse.ArgumentParser) -> None:
    _path(parser, "tuned", "TUNED", "cli_tuned")
    _path(parser, "base", "BASE", "cli_base")
    _path(parser, "out", "OUT", "cli_out")
    parser.add_argument("--rank", type=_rank, metavar="N", required=True, help=say("cli_extract_rank"))
    parser.add_argument("--conv-rank", type=_rank, metavar="N", help=say("cli_conv_rank"))
    _precision(parser, "cli_precision_fp16", "fp16")


_TOOLS: tuple[tuple[str, Callable[[argparse.ArgumentParser], None]], ...] = (
    ("inspect", _inspect),
    ("convert", _convert),
    ("merge", _merge),
    ("resize", _resize),
    ("extract", _extract),
)


def _path(parser: argparse.ArgumentParser, name: str, shown: str, help_key: str) -> None:
    parser.add_argument(name, type=pathlib.Path, metavar=shown, help=say(help_key))


def _precision(parser: argparse.ArgumentParser, help_key: str, default: str | None = None) -> None:
    parser.add_argument("--precision", choices=PRECISIONS, default=default, help=say(help_key))


def _rank(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(say("cli_bad_rank", text=text))
    return int(text)


def _rank_or_exact(text: str) -> int | None:
    return None if text == "exact" else _rank(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(say("cli_bad_share", text=text))
    return share
