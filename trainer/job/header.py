"""What a safetensors file of any origin says it holds; checked against the file's size, no tensor is touched.

Layout (github.com/huggingface/safetensors): 8 bytes N, little-endian; N bytes of JSON; the tensors' bytes without gaps.
"""

import dataclasses
import itertools
import json
import math
import os
import pathlib
import types
from collections.abc import Mapping
from typing import Any

from trainer.job.files import open_file
from trainer.job.trouble import Refused

_LARGEST_HEADER_BYTES = 16 * 2**20
"""The 2,500 tensors of an SDXL checkpoint take 0.3 MB, and all captions of a large data set a few."""
_MOST_BRACKETS = 300_000
"""Three a tensor, and some in metadata; a header of nothing else takes fifty times as much memory as the file."""
_MOST_DIMENSIONS = 64
"""So many torch knows."""
_PICKLES = (b"\x80", b"PK\x03\x04")
_BITS: Mapping[str, int] = types.MappingProxyType(
    {
        **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
        **dict.fromkeys(("F32", "I32", "U32"), 32),
        **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
        **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0", "I8", "U8", "BOOL"), 8),
        **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
        "F4": 4,
    }
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where one tensor lies: bytes from `start` to `end` after the header; `dtype` is safetensors' word for it."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Header:
    """A file's tensors by name in the order in which they lie, its metadata, and the byte where the tensors begin."""

    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    data_start: int


def read_header(path: pathlib.Path) -> Header:
    """The file's header, checked. Raises Refused when it is no whole safetensors file."""
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            _check_beginning(path, size, start, length)
            text = stream.read(length)
    except FileNotFoundError:
        raise Refused("file_missing", path=path) from None
    except (OSError, ValueError) as error:
        raise Refused("file_unreadable", path=path, reason=getattr(error, "strerror", error)) from error
    header = _json(path, text)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise Refused("file_header", path=path, reason="__metadata__")
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_places(path, ordered, size - 8 - length)
    texts = {str(name): str(value) for name, value in metadata.items()}
    return Header(types.MappingProxyType(ordered), types.MappingProxyType(texts), 8 + length)


def _check_beginning(path: pathlib.Path, size: int, start: bytes, length: int) -> None:
    if not size:
        raise Refused("file_empty", path=path)
    if len(start) < 8 or length < 2:
        raise Refused("file_not_safetensors", path=path)
    if length > min(_LARGEST_HEADER_BYTES, size - 8):
        # Only now: a whole file's header may have a length of 0x80 or 0x280 bytes, which begins as a pickle does.
        if start.startswith(_PICKLES):
            raise Refused("file_pickle", path=path)
        raise Refused("file_header_size", path=path, claimed=length, size=size)


def _json(path: pathlib.Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text) if text.count(b"[") + text.count(b"{") <= _MOST_BRACKETS else None
    except (ValueError, RecursionError):
        raise Refused("file_not_safetensors", path=path) from None
    if not isinstance(header, dict):
        raise Refused("file_not_safetensors", path=path)
    return header


def _entry(path: pathlib.Path, name: str, value: Any) -> Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        each_bits = _BITS[dtype]
    except (KeyError, TypeError, ValueError):
        raise Refused("file_header", path=path, reason=name) from None
    # JSON knows NaN, true and 1e9 too, and a text times a billion fills the memory: only true integers count.
    if (
        len(shape) > _MOST_DIMENSIONS
        or any(type(number) is not int or number < 0 for number in (*shape, start, end))
        or 8 * (end - start) != math.prod(shape) * each_bits
    ):
        raise Refused("file_header", path=path, reason=name)
    return Entry(dtype, shape, start, end)


def _check_places(path: pathlib.Path, entries: Mapping[str, Entry], data_bytes: int) -> None:
    if not entries:
        raise Refused("file_no_tensors", path=path)
    ends = itertools.accumulate((entry.end for entry in entries.values()), max, initial=0)
    for (name, entry), end in zip(entries.items(), ends, strict=False):
        if entry.start != end:
            raise Refused("file_header", path=path, reason=name)
    needed = max(entry.end for entry in entries.values())
    if needed > data_bytes:
        raise Refused("file_cut", path=path, size=path.stat().st_size, needed=path.stat().st_size + needed - data_bytes)
    if needed < data_bytes:
        raise Refused("file_too_long", path=path, extra=data_bytes - needed)
