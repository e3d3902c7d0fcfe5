"""What the NVIDIA driver says of itself, of its cards and of who uses them."""

import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

from trainer.doctor.probes.tell import tell

_WSL = "/usr/lib/wsl/lib/nvidia-smi"
_NVIDIA, _AMD = "0x10de", "0x1002"


def main() -> None:
    """Tells what there is; a card without a driver too, where the system names its cards."""
    tell(vendors=_vendors())
    program = shutil.which("nvidia-smi") or (_WSL if os.path.exists(_WSL) else None)
    if program is None:
        return
    done = _asked(program, "-q", "-x")
    if done.returncode:
        tell(problem=(done.stdout + done.stderr).strip().splitlines()[:1] or ["?"])
        return
    tell(**read(done.stdout))
    caps = _asked(program, "--query-gpu=compute_cap", "--format=csv,noheader")
    tell(capabilities=[line.strip() for line in caps.stdout.splitlines()] if caps.returncode == 0 else [])


def _asked(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def read(document: str) -> dict[str, Any]:
    """The facts in what `nvidia-smi -q -x` prints: versions, names of cards, and the programs in their memory."""
    root = ElementTree.fromstring(document)
    users = [(_text(each, "process_name"), _text(each, "used_memory")) for each in root.iter("process_info")]
    return {
        "driver": _text(root, "driver_version"),
        "cuda": _text(root, "cuda_version"),
        "names": [_text(card, "product_name") for card in root.iter("gpu")],
        # Only the name of the program: its path may hold the name of a user.
        "users": [[name.replace("\\", "/").rpartition("/")[2], _mib(used)] for name, used in users],
    }


def _text(element: ElementTree.Element, name: str) -> str:
    return (element.findtext(name) or "").strip()


def _mib(text: str) -> int:
    number = text.partition(" ")[0]
    return int(number) if number.isdecimal() else 0


def _vendors() -> list[str]:
    """Whose graphics cards are plugged in, as far as the system says: nvidia, amd."""
    found = set()
    if sys.platform.startswith("linux"):
        for card in pathlib.Path("/sys/bus/pci/devices").glob("*"):
            if _word(card / "class").startswith("0x03"):
                found.add(_word(card / "vendor"))
    return [name for name, number in (("nvidia", _NVIDIA), ("amd", _AMD)) if number in found]


def _word(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


if __name__ == "__main__":
    main()
