"""Where things are on this machine: the program's home folder and the output folders in use.

`LORA_ATELIER_HOME` and `LORA_ATELIER_OUTPUTS` (set by the GUI's `--home` and `--outputs`) replace the defaults.
"""

import contextlib
import json
import os
import pathlib
import sys

from trainer.job.files import open_file
from trainer.job.words import say
from trainer.run.folder import Busy, locked, write_text

MAX_REMEMBERED = 50
LARGEST_BYTES = 2**20
"""No more is read: a list that somebody else has made must not fill the memory."""
_LONGEST_PATH = 4096


def home() -> pathlib.Path:
    """The user's own folder of this program: presets and what is remembered between starts. It need not exist."""
    given = os.environ.get("LORA_ATELIER_HOME")
    return pathlib.Path(given).absolute() if given else _config_folder() / "lora-atelier"


def _config_folder() -> pathlib.Path:
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("APPDATA") or pathlib.Path.home() / "AppData" / "Roaming")
    if sys.platform == "darwin":
        return pathlib.Path.home() / "Library" / "Application Support"
    return pathlib.Path(os.environ.get("XDG_CONFIG_HOME") or pathlib.Path.home() / ".config")


def default_outputs() -> pathlib.Path:
    """The output folder that a job has when nobody named another: `outputs` where the program was started."""
    return pathlib.Path(os.environ.get("LORA_ATELIER_OUTPUTS") or "outputs").absolute()


def output_folders() -> list[pathlib.Path]:
    """The default output folder, then every other one in use, the latest first; missing ones are left out."""
    known = [default_outputs(), *_remembered()]
    return [folder for folder in dict.fromkeys(known) if folder == default_outputs() or os.path.isdir(folder)]


def remember_output_folder(folder: pathlib.Path) -> None:
    """Makes `output_folders` list `folder` from now on, also after a restart."""
    wanted = folder.absolute()
    home().mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        # A second program may be remembering another one. Where the drive knows no locks, there is mostly none.
        with contextlib.suppress(Busy, OSError):
            held.enter_context(locked(home() / "places.lock", 2.0))
        folders = [wanted, *(known for known in _remembered() if known != wanted)][:MAX_REMEMBERED]
        write_text(_memory(), json.dumps({"output_folders": [str(known) for known in folders]}, indent=2))


def outputs_problem(outputs: pathlib.Path) -> str:
    """Why no run can be put into the folder `outputs`, in a sentence; "" where nothing speaks against it."""
    # What lies in an output folder may be looked into, and here that is everything; a drive D: may be meant for it.
    if str(outputs) == "/":
        return say("outputs_root", folder=outputs)
    there = next((path for path in (outputs, *outputs.parents) if os.path.exists(path)), outputs)
    if not os.path.isdir(there):
        return say("outputs_no_folder", folder=outputs, path=there)
    return "" if os.access(there, os.W_OK | os.X_OK) else say("outputs_no_room", folder=outputs, path=there)


def _memory() -> pathlib.Path:
    return home() / "places.json"


def _remembered() -> list[pathlib.Path]:
    try:
        with open_file(_memory()) as stream:
            data = json.loads(stream.read(LARGEST_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    folders = data.get("output_folders", []) if isinstance(data, dict) else []
    found = [pathlib.Path(folder) for folder in folders if is_path(folder)] if isinstance(folders, list) else []
    return found[:MAX_REMEMBERED]


def is_path(given: object) -> bool:
    """Whether `given`, which stood in a file, may name a folder."""
    try:
        named = isinstance(given, str) and os.path.isabs(given) and "\0" not in given
        return named and len(os.fsencode(str(given))) < _LONGEST_PATH
    except UnicodeEncodeError:
        return False


def resolve_outputs(folder: str) -> pathlib.Path:
    """Where an output folder named in a job lies; the word `outputs` is the default one."""
    # Unlike Path.expanduser, which raises, it leaves a ~ as it is where no user is called like that.
    return default_outputs() if folder == "outputs" else pathlib.Path(os.path.expanduser(folder)).absolute()
