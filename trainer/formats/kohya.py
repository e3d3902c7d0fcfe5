"""Kohya's LoRA files, which A1111, Forge, ComfyUI, diffusers and sd-scripts all read.

A canonical layer name such as `unet.mid_block.attentions.0.proj_in` becomes `lora_unet_mid_block_attentions_0_proj_in`;
each layer has `.lora_down.weight`, `.lora_up.weight` and `.alpha`. Text encoder paths always contain `text_model`,
whatever the installed transformers calls it.
"""

import hashlib
import json
import pathlib
import types
from collections.abc import Mapping
from typing import Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from trainer.run.folder import write_whole

_PREFIXES: Mapping[str, str] = types.MappingProxyType({"unet": "lora_unet", "text_encoder": "lora_te"})
DTYPES: Mapping[str, torch.dtype] = types.MappingProxyType(
    {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
)


class FileLayer(Protocol):
    """A layer to be written (see trainer.adapters.base.Layer)."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...
    @property
    def alpha(self) -> float: ...


def key(layer: str) -> str:
    """The file's name of a canonical layer name. Raises KeyError for a component that the format does not know."""
    component, _, path = layer.partition(".")
    return f"{_PREFIXES[component]}_{path.replace('.', '_')}"


def write(path: pathlib.Path, layers: Mapping[str, FileLayer], precision: str, metadata: Mapping[str, str]) -> int:
    """Writes the file whole or not at all and returns its size in bytes. Raises OSError."""
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        for kind, tensor in layer.tensors.items():
            tensors[f"{key(name)}.{kind}.weight"] = tensor.detach().to("cpu", DTYPES[precision]).contiguous()
        tensors[f"{key(name)}.alpha"] = torch.tensor(layer.alpha, dtype=DTYPES[precision])
    data = save(tensors, {**metadata, "sshs_model_hash": model_hash(save(tensors))})
    write_whole(path, lambda stream: stream.write(data))
    return len(data)


def model_hash(data: bytes) -> str:
    """sha256 of the tensors' region of a safetensors file: the same whatever the metadata says."""
    start = 8 + int.from_bytes(data[:8], "little")
    return hashlib.sha256(data[start:]).hexdigest()


def text(value: object) -> str:
    """A metadata value as Kohya writes it: JSON for lists and dicts, else Python's own text ("None", "True")."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
