"""Kohya's LoRA files, which A1111, Forge, ComfyUI, diffusers and sd-scripts all read.

A canonical layer name such as `unet.mid_block.attentions.0.proj_in` becomes `lora_unet_mid_block_attentions_0_proj_in`;
each layer has its tensors and `.alpha`. Text encoder paths always contain `text_model`, whatever the installed
transformers calls it.
"""

import json
import pathlib
import types
from collections.abc import Mapping
from typing import Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from trainer.formats import layouts
from trainer.formats.alphas import evened
from trainer.formats.hashes import hashes
from trainer.formats.layers import ENDINGS
from trainer.formats.layouts import Layout
from trainer.formats.names import to_kohya
from trainer.run.folder import write_whole

DTYPES: Mapping[str, torch.dtype] = types.MappingProxyType(
    {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
)


class FileLayer(Protocol):
    """A layer to be written (see trainer.adapters.base.Layer)."""

    @property
    def tensors(self) -> Mapping[str, Tensor]: ...
    @property
    def alpha(self) -> float | None: ...


def write(
    path: pathlib.Path,
    layers: Mapping[str, FileLayer],
    precision: str,
    metadata: Mapping[str, str],
    layout: Layout = layouts.SD15,
) -> int:
    """Writes the file whole or not at all and returns its size in bytes. Raises OSError.

    Where a reader would get alphas wrong, they are written as one that means the same (see alphas.py).
    """
    tensors = named({to_kohya(name, layout): layer for name, layer in evened(layers).items()}, DTYPES[precision])
    data = save(tensors, {**metadata, **hashes(tensors, metadata)})
    write_whole(path, lambda stream: stream.write(data))
    return len(data)


def named(layers: Mapping[str, FileLayer], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors of layers by the file's layer names, as they are stored.

    DoRA's norms stay in float32: they are few, and their rounding would be of the size of W, not of its change.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        for kind, tensor in layer.tensors.items():
            kept = torch.float32 if kind == "dora_scale" else dtype
            tensors[f"{name}.{ENDINGS[kind]}"] = tensor.detach().to("cpu", kept).contiguous()
        if layer.alpha is not None:
            tensors[f"{name}.alpha"] = _exact(layer.alpha, dtype)
    return tensors


def _exact(alpha: float, dtype: torch.dtype) -> Tensor:
    # An alpha such as 0.3 would be another number in half precision; readers take any format.
    rounded = torch.tensor(alpha, dtype=dtype)
    return rounded if rounded.item() == alpha else torch.tensor(alpha, dtype=torch.float32)


def text(value: object) -> str:
    """A metadata value as Kohya writes it: JSON for lists and dicts, else Python's own text ("None", "True")."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
