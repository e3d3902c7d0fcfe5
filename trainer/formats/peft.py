"""LoRA files as diffusers and PEFT write them: `unet.….lora_A.weight`, with alpha in the metadata.

diffusers' load_lora_weights takes ranks and alphas from the JSON under `lora_adapter_metadata` (`unet.lora_alpha`, …),
so the numbers are stored as they are; a program that does not read it would take alpha for the rank.
"""

import collections
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import PEFT_METADATA
from trainer.run.folder import write_whole

_KINDS = {"lora_down": "lora_A.weight", "lora_up": "lora_B.weight"}


def writable(layer: LoraLayer) -> bool:
    """Whether the format has words for this layer: plain LoRA, also of convolutions."""
    return layer.tensors.keys() == _KINDS.keys()


def write(path: pathlib.Path, layers: Mapping[str, LoraLayer], dtype: torch.dtype, metadata: Mapping[str, str]) -> int:
    """Writes the file whole or not at all and returns its size in bytes. Raises OSError, KeyError if not writable."""
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        for kind, tensor in layer.tensors.items():
            tensors[f"{name}.{_KINDS[kind]}"] = tensor.to(dtype).contiguous()
    settings = json.dumps(adapter_settings(layers), indent=2, sort_keys=True)
    data = save(tensors, {**metadata, "format": "pt", PEFT_METADATA: settings})
    write_whole(path, lambda stream: stream.write(data))
    return len(data)


def adapter_settings(layers: Mapping[str, LoraLayer]) -> dict[str, Any]:
    """What diffusers makes its LoraConfig from, flat: `<component>.r`, `.lora_alpha` and patterns for exceptions."""
    parts: dict[str, dict[str, LoraLayer]] = {}
    for name, layer in layers.items():
        component, _, path = name.partition(".")
        # transformers 5.6 dropped this wrapper; PEFT matches ends of paths, so without it both kinds are matched.
        parts.setdefault(component, {})[path.removeprefix("text_model.")] = layer
    settings: dict[str, Any] = {}
    for component, part in parts.items():
        ranks = {path: layer.rank or 1 for path, layer in part.items()}
        alphas = {path: float(layer.rank or 1 if layer.alpha is None else layer.alpha) for path, layer in part.items()}
        own = {
            "r": _commonest(ranks),
            "lora_alpha": _commonest(alphas),
            "rank_pattern": _exceptions(ranks),
            "alpha_pattern": _exceptions(alphas),
            "target_modules": sorted(part),
        }
        settings.update({f"{component}.{key}": value for key, value in own.items()})
    return settings


def _commonest(values: Mapping[str, Any]) -> Any:
    return collections.Counter(values.values()).most_common(1)[0][0]


def _exceptions(values: Mapping[str, Any]) -> dict[str, Any]:
    common = _commonest(values)
    return {re.escape(path).replace("\\_", "_"): value for path, value in values.items() if value != common}
