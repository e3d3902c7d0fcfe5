"""What a base model's name refers to, found out in milliseconds and without loading it."""

import dataclasses
import json
import os
import pathlib
import re
import struct
from typing import Any, Literal

from trainer.job.facts import FAMILIES
from trainer.job.words import say

STARTER = pathlib.Path(__file__).parents[1] / "starter" / "model"
_LARGEST_HEADER_BYTES = 100 * 2**20
_SD_KEY = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
_FAMILY_BY_TEXT_WIDTH = ((768, "sd15"), (1024, "sd2"))


@dataclasses.dataclass(frozen=True)
class BaseModel:
    """Where a base model lies (`path` is None for a hub id), a line about it, and the problem with it ("" if none)."""

    kind: Literal["starter", "folder", "file", "hub", "missing"]
    path: pathlib.Path | None
    text: str
    problem: str = ""


def describe(base: str, family: str) -> BaseModel:
    """What `base` refers to, and whether it fits `family` as far as its config or file header tells."""
    if base == "starter":
        return BaseModel("starter", STARTER, say("base_starter"))
    # os.path answers where pathlib raises: an unknown ~user, a name that is too long, a folder that may not be read.
    path = pathlib.Path(os.path.expanduser(base))
    if os.path.isdir(path):
        return BaseModel("folder", path, say("base_folder"), _folder_problem(path, base, family))
    if os.path.isfile(path):
        size = f"{path.stat().st_size / 2**30:.1f} GB"
        return BaseModel("file", path, say("base_file", size=size), _file_problem(path, base, family))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base) and path.suffix != ".safetensors":
        return BaseModel("hub", None, say("base_hub"))
    return BaseModel("missing", None, "", say("base_missing", base=base))


def _folder_problem(path: pathlib.Path, base: str, family: str) -> str:
    try:
        config = json.loads((path / "unet" / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        return say("base_not_diffusers", base=base)
    if config.get("addition_embed_type"):
        return say("base_unsupported", base=base, found="SDXL")
    return _family_problem(config.get("cross_attention_dim"), base, family)


def _file_problem(path: pathlib.Path, base: str, family: str) -> str:
    if path.suffix.lower() != ".safetensors":
        return say("base_not_safetensors", base=base)
    try:
        header = read_header(path)
    except OSError as error:
        return say("unreadable", path=base, reason=error.strerror)
    if header is None:
        return say("base_broken", base=base)
    if any(".lora_" in key or ".hada_" in key or ".lokr_" in key for key in header):
        return say("base_is_lora", base=base)
    if any(key.startswith("conditioner.embedders.") for key in header):
        return say("base_unsupported", base=base, found="SDXL")
    if not header.get(_SD_KEY, {}).get("shape"):
        return say("base_no_unet", base=base)
    return _family_problem(header[_SD_KEY]["shape"][-1], base, family)


def _family_problem(text_width: Any, base: str, family: str) -> str:
    found = next((name for width, name in _FAMILY_BY_TEXT_WIDTH if width == text_width), family)
    if found == family:
        return ""
    return say("base_other_family", base=base, found=FAMILIES[found].label, family=FAMILIES[family].label)


def read_header(path: pathlib.Path) -> dict[str, Any] | None:
    """The tensors of a safetensors file by name (dtype, shape, data_offsets); None when it is not a whole one.

    Raises OSError when it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_LARGEST_HEADER_BYTES, size - 8):
            return None
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            return None
    if not isinstance(header, dict):
        return None
    header.pop("__metadata__", None)
    try:
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        whole = end == size - 8 - length and all(isinstance(tensor["shape"], list) for tensor in header.values())
    except (KeyError, TypeError, IndexError):
        return None
    return header if whole else None
