"""Where things are on this machine (see trainer/run/home.py), and all runs in it."""

import contextlib

from trainer.run.folder import RunFolder, list_runs
from trainer.run.home import default_outputs, home, output_folders, remember_output_folder, resolve_outputs

__all__ = ["default_outputs", "home", "output_folders", "remember_output_folder", "resolve_outputs", "runs"]


def runs() -> list[RunFolder]:
    """All runs in the output folders in use; one that cannot be read (any more) must not hide the others."""
    found: list[RunFolder] = []
    for folder in output_folders():
        with contextlib.suppress(OSError):
            found += list_runs(folder)
    return found
