"""From what a tool has printed to what the page shows of it."""

import json
import re
from collections.abc import Mapping
from typing import Any

MAX_VALUE_CHARACTERS = 4000
MAX_METADATA = 500
MAX_PICTURE_CHARACTERS = 4 * 2**20
_PICTURE = re.compile(r"data:image/(?:jpeg|png|webp);base64,[A-Za-z0-9+/=\s]+\Z")
_PROGRESS = re.compile(r"^(\d+)/(\d+) (\S+)$", re.MULTILINE)
_MIB = re.compile(r" \([\d.]+ MiB\)$")


def progress(printed: str) -> dict[str, Any]:
    """The last count among the lines `12/192 layers`; `total` is 0 before the first one."""
    counted = _PROGRESS.findall(printed)
    done, total, unit = counted[-1] if counted else (0, 0, "")
    return {"done": int(done), "total": int(total), "unit": unit}


def sentences(printed: str) -> list[str]:
    """What a tool says at its end, without the counting and without the last line, which names the new file."""
    lines = [line for line in printed.splitlines() if line and not _PROGRESS.match(line)]
    return lines[:-1] if lines and _MIB.search(lines[-1]) else lines


def last_line(printed: str) -> str:
    """What a tool has said last, "" before its first word."""
    return (printed.strip().splitlines() or [""])[-1]


def examined(printed: str) -> list[dict[str, str]]:
    """The lines of the doctor so far; one that is not whole yet is left out."""
    return [json.loads(line) for line in printed.splitlines(keepends=True) if line.endswith("}\n")]


def refusal(complained: str) -> str:
    """The sentence with which a tool refuses, "" where there is none."""
    last = (complained.strip().splitlines() or [""])[-1]
    own = re.match(r"(?:problem: |python.* error: (?:argument [^:]*: )?)(.*)", last)
    return own[1] if own else ""


def report(printed: str) -> dict[str, Any]:
    """What `inspect --json` found, with metadata as long as a page can show. Raises ValueError."""
    found: dict[str, Any] = json.loads(printed)
    metadata: Mapping[str, str] = found["metadata"]
    found["metadata"] = {key[:200]: _cut(value) for key, value in list(metadata.items())[:MAX_METADATA]}
    found["metadata_count"] = len(metadata)
    found["picture"] = metadata["modelspec.thumbnail"] if found["thumbnail"] and _shown(metadata) else ""
    return {key: _cut(value) if isinstance(value, str) and key != "picture" else value for key, value in found.items()}


def _shown(metadata: Mapping[str, str]) -> bool:
    """Whether the picture that the file carries is of a kind, and no larger than, a page shows."""
    data = metadata["modelspec.thumbnail"]
    return len(data) <= MAX_PICTURE_CHARACTERS and _PICTURE.match(data) is not None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + " …"
