"""Whether a folder can be written as a run needs it: a file made to last, renamed and deleted, a lock that holds."""

import os
import pathlib
import shutil
import sys
import tempfile
import time

from trainer.doctor.probes.tell import tell
from trainer.job.hub_names import cache_folder
from trainer.run import folder, home
from trainer.run.folder import Busy, RunFolder

_PREFIX = ".doctor-"
_OLD_S = 600
_BYTES = 2**20


def main(which: str) -> None:
    """Tells about the folder that is called `which`: home, outputs, cache or temp."""
    place = _place(which)
    tell(path=str(place))
    try:
        there = next(path for path in (place, *place.parents) if path.exists())
        tell(exists=there == place, is_folder=there.is_dir(), free=shutil.disk_usage(there).free)
        if there.is_dir():
            _try(there)
    except OSError as error:
        tell(problem=error.strerror or str(error), number=error.errno)


def _place(which: str) -> pathlib.Path:
    if which == "home":
        return home.home()
    if which == "outputs":
        return home.default_outputs()
    return cache_folder() if which == "cache" else pathlib.Path(tempfile.gettempdir())


def _try(place: pathlib.Path) -> None:
    for old in place.glob(f"{_PREFIX}*"):  # of a doctor that was killed
        if time.time() - old.stat().st_mtime > _OLD_S:
            shutil.rmtree(old, ignore_errors=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    try:
        began = time.monotonic()
        contents = os.urandom(_BYTES)
        folder.write_whole(scratch / "written", lambda stream: stream.write(contents))
        tell(whole=(scratch / "written").read_bytes() == contents, wrote_s=time.monotonic() - began)
        (scratch / "written").unlink()
        tell(locks=_locks(RunFolder(scratch)))
    finally:
        shutil.rmtree(scratch)


def _locks(run: RunFolder) -> bool:
    """Whether a lock that is held is seen, and one that is free is not."""
    try:
        with folder.held(run):
            seen = folder.is_alive(run)
        return seen and not folder.is_alive(run)
    except Busy:
        return False


if __name__ == "__main__":
    main(sys.argv[1])
