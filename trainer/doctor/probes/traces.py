"""What other processes hold or have left in the home and the output folders: open programs, unfinished files."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from trainer.doctor.probes.tell import tell
from trainer.run import folder, home, presence

_FRESH_S = 600
"""A younger unfinished file may be in the middle of being written."""
_MOST_RUNS = 2000


def main() -> None:
    """Tells the ports of open programs, the unfinished files with their bytes, and the latest time of a run."""
    tell(open=presence.ports(home.home()))
    sizes, folders, latest = list[int](), set[str](), 0.0
    for within, place in [(home.home(), home.home()), *_places()]:
        with contextlib.suppress(OSError):
            latest = max(latest, place.stat().st_mtime)
            for about in (path.stat() for path in place.glob(".*.new")):
                if time.time() - about.st_mtime > _FRESH_S:
                    sizes.append(about.st_size)
                    folders.add(str(within))
    tell(unfinished=len(sizes), size=sum(sizes), folders=sorted(folders), latest=latest)


def _places() -> Iterator[tuple[Path, Path]]:
    """Where the files of runs lie on which no trainer is at work, each after the output folder that it is in."""
    for outputs in home.output_folders():
        with contextlib.suppress(OSError):
            for run in folder.list_runs(outputs)[:_MOST_RUNS]:
                if not folder.is_alive(run):
                    yield from ((outputs, place) for place in (run.path, run.samples, run.weights, run.state))


if __name__ == "__main__":
    main()
