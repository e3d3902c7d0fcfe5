"""safetensors files of any origin, a tensor at a time; what they say of themselves is checked first (job/header.py)."""

import dataclasses
import json
import pathlib
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.job.header import Entry, read_header
from trainer.job.trouble import Refused
from trainer.run.folder import write_whole

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
    """The file, once its header was checked. Raises Refused when it is no whole safetensors file."""
    header = read_header(path)
    strange = next((name for name, entry in header.tensors.items() if entry.dtype not in TYPES), None)
    if strange is not None:
        raise Refused("file_header", path=path, reason=strange)
    return Container(path, header.tensors, header.metadata, header.data_start)


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
