"""Which devices can train side by side, told without loading anything heavy."""

import dataclasses
import os
import re
import subprocess
from collections.abc import Mapping

_CARD = re.compile(r"^GPU \d+: (.+) \(UUID: (GPU-[0-9a-fA-F-]+)\)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Device:
    """One that holds one training at a time; `key` is how CUDA_VISIBLE_DEVICES names it, "" for whatever there is."""

    key: str = ""
    name: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What a trainer has to find in its environment to take this one."""
        return {"CUDA_VISIBLE_DEVICES": self.key} if self.key else {}


def devices() -> tuple[Device, ...]:
    """The graphics cards that CUDA would see where there are several; else the one device, which needs no name."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = _cards() if visible is None else [Device(key.strip()) for key in visible.split(",")]
    return tuple(found) if len(found) > 1 else (Device(),)


def _cards() -> list[Device]:
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [Device(key, name) for name, key in _CARD.findall(told)]
