"""`python -m app`: the web page of LoRA Atelier on this machine."""

import argparse
import importlib
import ipaddress
import os
import pathlib
import sys
from collections.abc import Sequence

from app.words import say

PORT = 7860
PASSWORD = "LORA_ATELIER_PASSWORD"
SHORTEST_PASSWORD = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 when the training of `--quickstart --exit` failed, 130 when it was not waited for.

    1 also when a package that the page needs cannot be loaded.
    """
    options = parser().parse_args(arguments)
    if options.exit and not options.quickstart:
        parser().error(say("cli.exit_alone"))
    if options.password_file and not options.listen:
        parser().error(say("cli.password_alone"))
    password = given_password(options.password_file) if options.listen else ""
    try:
        set_environment(options)
        quickstart = importlib.import_module("app.quickstart")
        under_way = quickstart.start() if options.quickstart else None
        # Only now, since gradio reads the environment when it is imported; and --help need not wait for it.
        server = importlib.import_module("app.server")
    except ImportError as error:
        print(say("cli.broken", reason=error, python=sys.executable), file=sys.stderr)
        return 1
    return int(
        server.serve(
            options.port,
            browser=not (options.no_browser or options.exit),
            under_way=under_way,
            then_exit=options.exit,
            guests=server.Guests(options.listen, password) if options.listen else None,
        )
    )


def port(text: str) -> int:
    """`text` as the number of a port. Raises ValueError, which argparse words."""
    number = int(text)
    if not 0 <= number < 65536:
        raise ValueError(text)
    return number


def address(text: str) -> str:
    """`text` as an address of this machine. Raises ValueError, which argparse words."""
    return str(ipaddress.ip_address(text))


def given_password(file: pathlib.Path | None) -> str:
    """What guests have to know: from `file` or else the environment, "" when neither says. Ends the program if bad.

    It is never an argument: those are shown to everybody on this machine.
    """
    # Taken out, so that nothing that is started from here inherits it.
    said = os.environ.pop(PASSWORD, "")
    if file is not None:
        try:
            said = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            parser().error(say("cli.password_unread", path=file, reason=getattr(error, "strerror", None) or error))
    if (said or file is not None) and len(said) < SHORTEST_PASSWORD:
        parser().error(say("cli.password_short", count=SHORTEST_PASSWORD))
    return said


def parser() -> argparse.ArgumentParser:
    """The arguments."""
    top = argparse.ArgumentParser(prog="python -m app", description=say("cli.about"))
    top.add_argument("--port", type=port, default=PORT, metavar="N", help=say("cli.port", port=PORT))
    top.add_argument("--no-browser", action="store_true", help=say("cli.no_browser"))
    top.add_argument("--quickstart", action="store_true", help=say("cli.quickstart"))
    top.add_argument("--exit", action="store_true", help=say("cli.exit"))
    top.add_argument("--listen", type=address, nargs="?", const="0.0.0.0", metavar="ADDRESS", help=say("cli.listen"))
    top.add_argument("--password-file", type=pathlib.Path, metavar="FILE", help=say("cli.password", name=PASSWORD))
    top.add_argument("--outputs", type=pathlib.Path, metavar="DIR", help=say("cli.outputs"))
    top.add_argument("--home", type=pathlib.Path, metavar="DIR", help=say("cli.home"))
    return top


def set_environment(options: argparse.Namespace) -> None:
    """Tells the rest of the program its folders, and gradio to ask nobody outside of this machine for anything.

    Raises ImportError.
    """
    process = importlib.import_module("trainer.run.process")
    os.environ.update({**process.NO_TELEMETRY, "GRADIO_ANALYTICS_ENABLED": "False"})
    if "HF_HUB_OFFLINE" not in os.environ:
        os.environ.update({"HF_HUB_OFFLINE": "1", process.HUB_HELD_BACK: "1"})
    for name, folder in (("LORA_ATELIER_OUTPUTS", options.outputs), ("LORA_ATELIER_HOME", options.home)):
        if folder is not None:
            os.environ[name] = str(folder.expanduser().absolute())


if __name__ == "__main__":
    sys.exit(main())
