"""Opens any LoRA file of Stable Diffusion as a stranger: from nothing but the file to canonical layers.

Read are Kohya's and LyCORIS's keys (`lora_unet_…`, with diffusers' or the published UNet's names), those of PEFT and
diffusers (`unet.….lora_A.weight`) and diffusers' older ones (`….processor.to_q_lora.up.weight`).
"""

import dataclasses
import json
import math
import pathlib
import re
import types
import warnings
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from trainer.formats import layouts, names
from trainer.formats.container import TYPES, Container, open_container
from trainer.formats.layers import LoraLayer
from trainer.formats.layouts import Layout
from trainer.job.files import open_file
from trainer.job.trouble import Refused

PEFT_METADATA = "lora_adapter_metadata"
_PEFT_FILE, _PEFT_SETTINGS = "adapter_model.safetensors", "adapter_config.json"
_PARTS = (
    (r"\.lora_(?:A|down)(?:\.\w+)?\.weight", "lora_down"),
    (r"\.lora_(?:B|up)(?:\.\w+)?\.weight", "lora_up"),
    (r"[._]lora(?:_linear_layer)?\.down\.weight", "lora_down"),
    (r"[._]lora(?:_linear_layer)?\.up\.weight", "lora_up"),
    (r"\.lora_mid\.weight", "lora_mid"),
    (r"\.(hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2)(?:\.weight)?", ""),
    (r"\.dora_scale", "dora_scale"),
    (r"\.lora_magnitude_vector(?:\.\w+)*", "dora_scale"),
    (r"\.alpha", "alpha"),
)
_ENDINGS = tuple((re.compile(ending + "$"), kind) for ending, kind in _PARTS)
_SPECIAL = re.compile(r"[^\w.-]")
_LONGEST_PATTERN = 300
_LARGEST_SETTINGS_BYTES = 4 * 2**20


@dataclasses.dataclass(frozen=True)
class LoraFile:
    """A LoRA file that was read whole.

    `layers` by canonical name, or by the file's own where the vocabulary of names does not know it (`unknown`);
    `stored` are the layers' names in the file; `precision` is that of the widest tensor.
    """

    path: pathlib.Path
    format: Literal["kohya", "peft"]
    layout: Layout
    layers: Mapping[str, LoraLayer]
    stored: Mapping[str, str]
    unknown: tuple[str, ...]
    precision: torch.dtype
    metadata: Mapping[str, str]

    @property
    def family(self) -> str:
        """sd15, sd2, sdxl or unknown."""
        return self.layout.family

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kinds of layers there are: lora, locon (with convolutions), loha, lokr; each also as dora."""
        found = {layer.kind for layer in self.layers.values()}
        if "lora" in found and any(max(layer.shape[2:], default=1) > 1 for layer in self.layers.values()):
            found = found - {"lora"} | {"locon"}
        return tuple(sorted(found | ({"dora"} if any(layer.is_dora for layer in self.layers.values()) else set())))


def open_lora(path: pathlib.Path) -> LoraFile:
    """The file's layers. Raises Refused, in one sentence, for everything that is no whole LoRA file."""
    container = open_container(path)
    found = _by_layer(container)
    kohya = not any("." in stored for stored in found)
    settings = {} if kohya else _peft_settings(container)
    layers: dict[str, LoraLayer] = {}
    unknown = []
    stored_names = {}
    for stored, parts in found.items():
        known = names.from_kohya(stored) if kohya else names.from_dotted(stored)
        name = known or stored
        if name in layers:
            raise Refused("lora_twice", path=path, name=stored)
        layers[name] = _layer(container, name, parts, settings)
        stored_names[name] = stored
        if known is None:
            unknown.append(name)
    return LoraFile(
        path,
        "kohya" if kohya else "peft",
        layouts.UNKNOWN if unknown else _layout(layers, container.metadata),
        types.MappingProxyType(layers),
        types.MappingProxyType(stored_names),
        tuple(unknown),
        _widest(container),
        container.metadata,
    )


def _by_layer(container: Container) -> dict[str, dict[str, str]]:
    """The file's tensor names by the file's layer names and by kind."""
    found: dict[str, dict[str, str]] = {}
    strange = []
    for name in container.tensors:
        stored, kind = split(name)
        if kind:
            found.setdefault(stored, {})[kind] = name
        else:
            strange.append(name)
    if not any(parts.keys() - {"alpha", "dora_scale"} for parts in found.values()):
        raise Refused("lora_none", path=container.path)
    if strange:
        raise Refused("lora_strange", path=container.path, count=len(strange), name=strange[0])
    return found


def split(name: str) -> tuple[str, str]:
    """The layer's name in the file and the kind of tensor; an empty kind for a name that is no LoRA's."""
    for ending, kind in _ENDINGS:
        if found := ending.search(name):
            return name[: found.start()], kind or found[1]
    return name, ""


def _layer(container: Container, name: str, parts: Mapping[str, str], settings: Mapping[str, Any]) -> LoraLayer:
    tensors = {kind: container.read(stored) for kind, stored in parts.items()}
    alpha = tensors.pop("alpha", None)
    if "dora_scale" in tensors:
        tensors["dora_scale"] = _norms(tensors["dora_scale"], parts["dora_scale"])
    if any(not tensor.is_floating_point() or not tensor.isfinite().all() for tensor in tensors.values()):
        raise Refused("lora_not_numbers", path=container.path, name=name)
    try:
        number = _peft_alpha(settings, name, tensors) if alpha is None else _number(alpha)
    except (AttributeError, TypeError, ValueError, OverflowError, re.error):
        raise Refused("lora_peft_settings", path=container.path) from None
    layer = LoraLayer(name, types.MappingProxyType(tensors), number)
    families = {kind.partition("_")[0] for kind in tensors if kind != "dora_scale"}
    try:
        fits = len(families) == 1 and len(layer.shape) >= 2 and math.isfinite(layer.scale)
    except (KeyError, RuntimeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise Refused("lora_misfit", path=container.path, name=name)
    return layer


def _norms(norms: Tensor, stored: str) -> Tensor:
    """A DoRA's norms with their axis where LyCORIS has it.

    PEFT's are always of the outputs: [out] of linear layers, [1, out, 1, 1] of convolutions.
    """
    if norms.dim() == 1:
        return norms[:, None]
    return norms.transpose(0, 1) if "lora_magnitude_vector" in stored else norms


def _number(alpha: Tensor) -> float:
    return float(alpha) if alpha.numel() == 1 else math.nan


def _peft_settings(container: Container) -> Mapping[str, Any]:
    """The record of how the LoRA was made, with `lora_alpha` and the like; empty where there is none.

    diffusers has it in the file, by component (`unet.lora_alpha`); PEFT in a file of its own beside it.
    """
    text = container.metadata.get(PEFT_METADATA) or _beside(container.path)
    if not text:
        return {}
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise Refused("lora_peft_settings", path=container.path)
    return settings


def _beside(path: pathlib.Path) -> str:
    """What PEFT's save_pretrained wrote into the folder of `adapter_model.safetensors`; "" where it did not."""
    if path.name != _PEFT_FILE:
        return ""
    try:
        with open_file(path.with_name(_PEFT_SETTINGS)) as stream:
            return stream.read(_LARGEST_SETTINGS_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _peft_alpha(settings: Mapping[str, Any], name: str, tensors: Mapping[str, Tensor]) -> float | None:
    component, _, path = name.partition(".")
    own = {key.removeprefix(component + "."): value for key, value in settings.items()}
    alpha = own.get("lora_alpha")
    for pattern, value in (own.get("alpha_pattern") or {}).items():
        if _ends(path, pattern):
            alpha = value
            break
    if alpha is None or "lora_down" not in tensors:
        return None
    # Rank-stabilised LoRA divides by the root of the rank (arXiv:2312.03732).
    return float(alpha) * (tensors["lora_down"].shape[0] ** 0.5 if own.get("use_rslora") else 1)


def _ends(path: str, pattern: str) -> bool:
    """Whether PEFT, which takes the patterns for regular expressions, finds this one at the end of a path.

    Raises ValueError for one that could take for ever: real ones are names, at most with a sign for any part of one.
    """
    if not _SPECIAL.search(pattern):
        return path == pattern or path.endswith(f".{pattern}")
    if len(pattern) > _LONGEST_PATTERN or len(re.findall(r"[*+?{]", pattern)) > 2 or re.search(r"\)[*+?{]", pattern):
        raise ValueError(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of signs that may come to mean something
        return re.match(rf"(?:.*\.)?(?:{pattern})$", path) is not None


def _layout(layers: Mapping[str, LoraLayer], metadata: Mapping[str, str]) -> Layout:
    fitting = layouts.from_shapes({name: layer.shape for name, layer in layers.items()})
    return layouts.from_metadata(metadata) if fitting is layouts.UNKNOWN else fitting


def _widest(container: Container) -> torch.dtype:
    kinds = {entry.dtype for name, entry in container.tensors.items() if split(name)[1] not in ("alpha", "dora_scale")}
    return TYPES[max(kinds, key=lambda kind: (TYPES[kind].itemsize, kind))]
