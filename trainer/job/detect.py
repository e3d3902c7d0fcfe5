"""What kind of base model a checkpoint file or diffusers folder holds, told without loading it.

Of a file the names and shapes of the tensors and the metadata tell it, of a folder its configs. The marks are those by
which ComfyUI (model_detection.py, supported_models.py) and diffusers (single_file_utils.py) tell models apart.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from trainer.job.files import open_file
from trainer.job.header import Entry, Header, read_header
from trainer.job.trouble import Refused

_LARGEST_CONFIG_BYTES = 2**20
_UNET = "model.diffusion_model."
_WIDTHS = {768: "sd15", 1024: "sd2", 2048: "sdxl", 1280: "refiner"}
# What a family's models predict when no word says otherwise; of 2.x both kinds are about, and those that predict v
# have a greater deviation in one small tensor (ComfyUI's SD20.model_type).
_USUAL = {"sd15": "epsilon", "sdxl": "epsilon"}
_TELLING = {"sd2": (_UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09)}
_FLOATS = {"F32": "fp32", "F16": "fp16", "BF16": "bf16", "F64": "fp64"}
# What stands in the name of some tensor and makes the file something else; the first that is found counts.
_LORA = (".lora_", ".hada_", ".lokr_", ".oft_", ".dora_scale", "lora_unet_", "lora_te")
_OTHER_KINDS = (
    ("sd3", ("joint_blocks.",)),
    ("flux", ("double_blocks.", "single_transformer_blocks.")),
    ("cascade", ("clip_txt_mapper.", ".channelwise.")),
    ("controlnet", ("control_model.", "input_hint_block.", "controlnet_")),
    ("video", ("motion_modules.", ".time_stack.", ".temporal_", ".temopral_conv.")),
)
# Of a file without a denoiser.
_PARTS = (
    ("diffusers_unet", ("mid_block.attentions.0.transformer_blocks.", "down_blocks.0.resnets.0.time_emb_proj.")),
    ("bare_unet", ("input_blocks.0.0.",)),
    ("transformer", ("transformer_blocks.0.", ".self_attn.q.", "layers.0.attention.")),
    ("text_encoder", ("text_model.", "transformer.resblocks.", "encoder.block.0.layer.", "token_embedding.")),
    ("vae", ("decoder.up.0.", "decoder.up_blocks.0.", "first_stage_model.")),
    ("embedding", ("emb_params", "clip_l", "clip_g", "string_to_param")),
)
# By the number of channels that the denoiser looks at.
_BY_INPUTS = {9: "inpainting", 8: "pix2pix", 7: "upscaler", 5: "depth"}
_PIPELINES = (("sd3", "StableDiffusion3"), ("flux", "Flux"), ("cascade", "StableCascade"))
_NAMED_V = {
    "sd2": re.compile(r"768[-_.]?v|768[-_]ema|v2-[01]_768|[^a-z]v[-_]?pred", re.IGNORECASE),
    "": re.compile(r"v[-_]?pred", re.IGNORECASE),
}


@dataclasses.dataclass(frozen=True)
class Detected:
    """A base model's `family` ("" where nothing tells) or, where it cannot be trained, the kind that it is of.

    `prediction` is "epsilon", "v" or ""; `guessed` says by what other than its own word ("name", "weights" or "");
    `precision` is fp64, fp32, fp16, bf16, fp8, mixed or "" (of the denoiser's tensors).
    """

    family: str = ""
    other_kind: str = ""
    prediction: str = ""
    guessed: str = ""
    zero_terminal_snr: bool = False
    precision: str = ""


def of_file(path: pathlib.Path, header: Header) -> Detected:
    """What the checkpoint at `path` holds; at most one small tensor of it is read."""
    names = header.tensors
    if kind := _something_else(names) or _odd_unet(names):
        return Detected(other_kind=kind)
    family = _family(names)
    prediction, guessed = _prediction(path, header, family)
    own_word = "v_pred" in names and "ztsnr" in names
    return Detected(family, "", prediction, guessed, own_word, precision(names.items()))


def of_folder(folder: pathlib.Path) -> Detected | None:
    """What the diffusers folder holds; None when it is none."""
    unet = _config(folder / "unet" / "config.json")
    if unet is None:
        pipeline = str((_config(folder / "model_index.json") or {}).get("_class_name", ""))
        kind = next((kind for kind, name in _PIPELINES if pipeline.startswith(name)), "unknown")
        return Detected(other_kind=kind) if pipeline else None
    schedule = _config(folder / "scheduler" / "scheduler_config.json") or {}
    prediction = {"epsilon": "epsilon", "v_prediction": "v"}.get(schedule.get("prediction_type", "epsilon"), "")
    kind = _odd_config(unet)
    family = (
        "sdxl"
        if unet.get("addition_embed_type") == "text_time"
        else _WIDTHS.get(_number(unet, "cross_attention_dim"), "")
    )
    snr = bool(schedule.get("rescale_betas_zero_snr"))
    return Detected("" if kind else family, kind, prediction, "", snr, _stored_as(folder / "unet"))


def _odd_config(unet: Mapping[str, Any]) -> str:
    if _number(unet, "cross_attention_dim") == 1280:
        return "refiner"
    inputs = _number(unet, "in_channels", 4)
    if inputs != _number(unet, "out_channels", 4):
        return _BY_INPUTS.get(inputs, "unknown")
    if unet.get("class_embed_type") == "projection":
        return "unclip"
    return "small_sdxl" if unet.get("mid_block_type", True) is None else ""


def _number(config: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    value = config.get(name, otherwise)
    return value if isinstance(value, int) else 0


def _stored_as(unet: pathlib.Path) -> str:
    # The whole one first, as it is loaded: "diffusion_pytorch_model.safetensors" comes before "….fp16.safetensors".
    for path in sorted(unet.glob("diffusion_pytorch_model*.safetensors"), key=lambda path: ("fp16" in path.name, path)):
        with contextlib.suppress(Refused):
            return precision(read_header(path).tensors.items())
    return ""


def _config(path: pathlib.Path) -> dict[str, Any] | None:
    try:
        with open_file(path) as stream:
            config = json.loads(stream.read(_LARGEST_CONFIG_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def _something_else(names: Collection[str]) -> str:
    if _any_has(names, _LORA):
        return "lora"
    if kind := next((kind for kind, marks in _OTHER_KINDS if _any_has(names, marks)), ""):
        return kind
    if any(name.startswith(_UNET + "input_blocks.") for name in names):
        return ""
    return next((kind for kind, marks in _PARTS if _any_has(names, marks)), "unknown")


def _any_has(names: Iterable[str], marks: tuple[str, ...]) -> bool:
    return any(mark in name for name in names for mark in marks)


def _odd_unet(names: Mapping[str, Entry]) -> str:
    """The kind of a Stable Diffusion checkpoint that cannot be trained like the plain ones; else ""."""
    inputs = _columns(names, "input_blocks.0.0.weight") or 4
    classes = _columns(names, "label_emb.0.0.weight")
    width = _text_width(names)
    if any(name.startswith(("edm_vpred.", "edm_mean")) for name in names):
        return "edm"
    if _any_has(names, ("scaled_fp8", ".scale_weight")):
        return "scaled_fp8"
    if width == 1280 or classes == 2560:
        return "refiner"
    if inputs != 4:
        return _BY_INPUTS.get(inputs, "unknown")
    if classes and width == 1024:
        return "unclip"
    if width == 2048 and not _any_has(names, (_UNET + "middle_block.1.",)):
        return "small_sdxl"
    return _missing_part(names)


def _missing_part(names: Collection[str]) -> str:
    if not any(name.startswith(("cond_stage_model.", "conditioner.embedders.")) for name in names):
        return "no_text_encoder"
    return "" if any(name.startswith("first_stage_model.") for name in names) else "no_vae"


def _family(names: Mapping[str, Entry]) -> str:
    if known := _WIDTHS.get(_text_width(names)):
        return known
    if _any_has(names, ("conditioner.embedders.1.",)):
        return "sdxl"
    if any(name.startswith("cond_stage_model.model.") for name in names):
        return "sd2"
    return "sd15" if any(name.startswith("cond_stage_model.transformer.") for name in names) else ""


def _text_width(names: Mapping[str, Entry]) -> int:
    found = (entry.shape for name, entry in names.items() if name.startswith(_UNET) and ".attn2.to_k.weight" in name)
    return next(iter(next(found, ())[1:2]), 0)


def _columns(names: Mapping[str, Entry], tensor: str) -> int:
    entry = names.get(_UNET + tensor)
    return entry.shape[1] if entry and len(entry.shape) > 1 else 0


def _prediction(path: pathlib.Path, header: Header, family: str) -> tuple[str, str]:
    said = header.metadata.get("modelspec.prediction_type", "")
    architecture = header.metadata.get("modelspec.architecture", "").partition("/")[0]
    if "v_pred" in header.tensors or said in ("v", "v_prediction") or architecture.endswith("-768-v"):
        return "v", ""
    if said == "epsilon" or architecture.endswith("-v2-512"):
        return "epsilon", ""
    if _NAMED_V.get(family, _NAMED_V[""]).search(path.stem):
        return "v", "name"
    tensor, v_from = _TELLING.get(family, ("", 0.0))
    spread = _spread(path, header, tensor)
    if spread is not None:
        return ("v" if spread > v_from else "epsilon"), "weights"
    return _USUAL.get(family, ""), ""


def _spread(path: pathlib.Path, header: Header, tensor: str) -> float | None:
    entry = header.tensors.get(tensor)
    if entry is None or entry.dtype not in ("F32", "F16", "BF16") or not 0 < math.prod(entry.shape) <= 2**16:
        return None
    try:
        with path.open("rb") as stream:
            stream.seek(header.data_start + entry.start)
            data = stream.read(entry.end - entry.start)
    except OSError:  # a file of which no more than the header has been fetched
        return None
    if entry.dtype == "BF16":
        values = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    else:
        values = np.frombuffer(data, {"F32": "<f4", "F16": "<f2"}[entry.dtype])
    return float(np.std(values.astype(np.float64)))


def precision(tensors: Iterable[tuple[str, Entry]]) -> str:
    """What the denoiser's tensors are stored in (all tensors where none is named as one); up to 1 % may differ."""
    entries = dict(tensors)
    chosen = [entry for name, entry in entries.items() if name.startswith(_UNET)] or list(entries.values())
    sizes: dict[str, int] = {}
    for entry in chosen:
        name = "fp8" if entry.dtype.startswith("F8") else _FLOATS.get(entry.dtype, "")
        sizes[name] = sizes.get(name, 0) + entry.end - entry.start
    name, most = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    return name if most >= 0.99 * sum(sizes.values()) else "mixed"
