"""The main memory and what stands in for it on the disk."""

import pathlib

import psutil

from trainer.doctor.probes.tell import tell

LIMIT = pathlib.Path("/sys/fs/cgroup/memory.max")
"""Where Linux says how much a container may have."""


def main() -> None:
    """Tells sizes in bytes."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    limit = LIMIT.read_text(encoding="ascii").strip() if LIMIT.is_file() else ""
    total = min(memory.total, int(limit)) if limit.isdecimal() else memory.total
    tell(total=total, free=min(memory.available, total), swap=swap.total)


if __name__ == "__main__":
    main()
