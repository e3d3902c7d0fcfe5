"""Opens files of any origin."""

import errno
import os
import stat
from typing import BinaryIO

from trainer.job.words import say


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """`path`, to be read. Raises OSError, also for what is no file: to open a pipe is to wait for who writes into it.

    Raises ValueError for a path that no file can have.
    """
    stream = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 it is given to who asked
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, say("not_a_file"), str(path))
    return stream


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
