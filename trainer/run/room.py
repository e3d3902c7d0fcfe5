"""The room on a disk, and what a disk says that fails, as a sentence that a person can use."""

import errno
import os
import pathlib
import shutil

from trainer.job.trouble import Trouble

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def shown(size_bytes: float) -> str:
    """A size as a person reads it."""
    return f"{size_bytes / 10**9:.1f} GB" if size_bytes >= 10**8 else f"{size_bytes / 10**6:.1f} MB"


def free_bytes(place: pathlib.Path) -> int:
    """What is free where `place` is or would be made. Raises OSError where the system does not say."""
    existing = next(path for path in (place, *place.parents) if os.path.exists(path))
    return shutil.disk_usage(existing).free


def disk_trouble(error: OSError, place: pathlib.Path) -> Trouble:
    """What has happened to a disk, and what to do; `place` is the run folder, or where one was to be made."""
    where = pathlib.Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else place
    if error.errno in _FULL:
        return Trouble("disk_full", path=where, free=shown(free_bytes(where)))
    if error.errno in _NO_LOCKS:
        return Trouble("no_locks", path=where)
    if not os.path.isdir(place):
        return Trouble("run_folder_gone", path=place)
    return Trouble("disk", reason=f"{where}: {error.strerror or error}")
