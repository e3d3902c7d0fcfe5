"""The two hashes by which other programs know a LoRA file again, whatever its metadata says.

Both are taken of the tensors saved anew with none but the `ss_*` metadata (facts of sd-scripts, library/train_util.py).
"""

import hashlib
import pathlib
from collections.abc import Mapping

from safetensors.torch import save
from torch import Tensor

_LEGACY_START, _LEGACY_END = 0x100000, 0x110000
NAMES = ("sshs_model_hash", "sshs_legacy_hash")


def hashes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """`sshs_model_hash` (sha256, 64 hex digits) and `sshs_legacy_hash` (8 hex digits) for a file of these tensors."""
    data = save(dict(tensors), {name: value for name, value in metadata.items() if name.startswith("ss_")})
    return dict(zip(NAMES, (model_hash(data), legacy_hash(data)), strict=True))


def model_hash(data: bytes) -> str:
    """sha256 of the tensors' region of a safetensors file, which no metadata changes."""
    start = 8 + int.from_bytes(data[:8], "little")
    return hashlib.sha256(data[start:]).hexdigest()


def legacy_hash(data: bytes) -> str:
    """The first 8 digits of the sha256 of the 64 KiB from 1 MiB on; all smaller files have the same."""
    return hashlib.sha256(data[_LEGACY_START:_LEGACY_END]).hexdigest()[:8]


def legacy_hash_of_file(path: pathlib.Path) -> str:
    """`legacy_hash` of a file of any size; A1111 knew checkpoints by it. Raises OSError."""
    with path.open("rb") as stream:
        stream.seek(_LEGACY_START)
        return hashlib.sha256(stream.read(_LEGACY_END - _LEGACY_START)).hexdigest()[:8]
