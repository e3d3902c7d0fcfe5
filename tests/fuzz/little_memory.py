"""Looks at all pictures of a folder with little memory: `python -m tests.fuzz.little_memory FOLDER`."""

import pathlib
import resource
import sys
import time

from tests.fuzz.test_pictures import looked_at
from tests.fuzz.trials import LIMIT_S

MEMORY_BYTES = 700 * 2**20
"""What may be had beside what the program itself takes up."""


def taken_bytes() -> int:
    """The memory that this process has asked for."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def main(folder: pathlib.Path) -> None:
    """Prints a line for each picture. Ends with an error where one takes too long or too much."""
    limit = taken_bytes() + MEMORY_BYTES if sys.platform == "linux" else resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    for path in sorted(folder.iterdir()):
        began = time.process_time()
        looked_at(path)
        took_s = time.process_time() - began
        print(f"{path.name} {took_s:.2f} s", flush=True)
        assert took_s < 3 * LIMIT_S, path


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
