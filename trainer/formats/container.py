"""safetensors files of any origin: the header is checked against the file's size before a tensor is touched.

Layout (github.com/huggingface/safetensors): 8 bytes N, little-endian; N bytes of JSON; the tensors' bytes without gaps.
"""

import dataclasses
import itertools
import json
import math
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.job.trouble import Refused
from trainer.run.folder import write_whole

_LARGEST_HEADER_BYTES = 100 * 2**20
_PICKLES = (b"\x80", b"PK\x03\x04")
TYPES: Mapping[str, torch.dtype] = types.MappingProxyType(
    {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where one tensor lies: bytes from `start` to `end` after the header; `dtype` is a key of TYPES."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Container:
    """A checked file: its tensors by name in the order in which they lie, its metadata, and where the tensors begin."""

    path: pathlib.Path
    tensors: Mapping[str, Entry]
    metadata: Mapping[str, str]
    data_start: int

    def read(self, name: str) -> Tensor:
        """One tensor, on the CPU, as it is stored. Raises KeyError and Refused."""
        entry = self.tensors[name]
        if entry.start == entry.end:
            return torch.empty(entry.shape, dtype=TYPES[entry.dtype])
        data = bytearray(entry.end - entry.start)
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.data_start + entry.start)
                whole = stream.readinto(data) == len(data)
        except OSError as error:
            raise Refused("file_unreadable", path=self.path, reason=error.strerror) from error
        if not whole:
            raise Refused("file_cut", path=self.path, size=self.path.stat().st_size, needed=self.data_start + entry.end)
        return torch.frombuffer(data, dtype=TYPES[entry.dtype]).reshape(entry.shape)


def open_container(path: pathlib.Path) -> Container:
    """The file's header, checked. Raises Refused when it is no whole safetensors file."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            _check_beginning(path, size, start, length)
            text = stream.read(length)
    except FileNotFoundError:
        raise Refused("file_missing", path=path) from None
    except OSError as error:
        raise Refused("file_unreadable", path=path, reason=error.strerror) from error
    header = _json(path, text)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise Refused("file_header", path=path, reason="__metadata__")
    entries = {name: _entry(path, name, value) for name, value in header.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)))
    _check_places(path, ordered, size - 8 - length)
    texts = {str(name): str(value) for name, value in metadata.items()}
    return Container(path, types.MappingProxyType(ordered), types.MappingProxyType(texts), 8 + length)


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
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("file_not_safetensors", path=path) from None
    if not isinstance(header, dict):
        raise Refused("file_not_safetensors", path=path)
    return header


def _entry(path: pathlib.Path, name: str, value: Any) -> Entry:
    try:
        dtype, shape, (start, end) = value["dtype"], tuple(value["shape"]), value["data_offsets"]
        size = math.prod(shape) * TYPES[dtype].itemsize
    except (KeyError, TypeError, ValueError):
        raise Refused("file_header", path=path, reason=name) from None
    # JSON knows NaN, true and 1e9 too: only true integers count.
    if any(type(number) is not int or number < 0 for number in (*shape, start, end)) or end - start != size:
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


def write_streamed(
    path: pathlib.Path, like: Mapping[str, Entry], metadata: Mapping[str, str], tensors: Iterable[tuple[str, Tensor]]
) -> int:
    """Writes a new file whole or not at all and returns its size in bytes.

    The header comes first, from the names, types and shapes of `like`; then each tensor is taken from `tensors`, which
    has to give them in the same order, so that never more than one is in memory. Raises OSError and ValueError.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, entry in like.items():
        size = entry.end - entry.start
        header[name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    blocks = _blocks(like, tensors)

    def write(stream: Any) -> None:
        stream.write(len(text).to_bytes(8, "little") + text)
        for block in blocks:
            stream.write(block)

    write_whole(path, write)
    return 8 + len(text) + end


def _blocks(like: Mapping[str, Entry], tensors: Iterable[tuple[str, Tensor]]) -> Iterator[memoryview]:
    for (name, entry), (given, tensor) in zip(like.items(), tensors, strict=True):
        if name != given or tuple(tensor.shape) != entry.shape or tensor.dtype != TYPES[entry.dtype]:
            raise ValueError(f"{given} was written where {name} was announced")
        yield memoryview(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
