"""How a file looks from outside, by which it is known whether what was read of it still holds."""

import os
import time

Look = tuple[int, ...]
"""Size, times of change and number of a file; empty where they cannot be had."""
SETTLED_S = 2.0
"""The clocks of some drives are that coarse: what was changed later may change again and look the same."""


def look_of(entry: os.DirEntry[str]) -> Look:
    """How the file of a folder's entry looks now, links followed."""
    try:
        found = entry.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def is_settled(*looks: Look) -> bool:
    """Whether none of the files can be another one without another look; False where one has none."""
    latest = (time.time() - SETTLED_S) * 1e9
    return all(look and look[1] < latest and look[2] < latest for look in looks)
