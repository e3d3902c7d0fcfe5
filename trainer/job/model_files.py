"""Which files of a diffusers folder or hub repository a training needs, out of all that are there."""

import dataclasses
import re
from collections.abc import Mapping

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
"""The endings of files that hold weights in a form in which they could hold programs too."""
_STEMS = (
    ("unet", "diffusion_pytorch_model"),
    ("vae", "diffusion_pytorch_model"),
    ("text_encoder", "model"),
    ("text_encoder_2", "model"),
)
_TOKENIZER_FILES = frozenset(
    {
        "added_tokens.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    }
)


@dataclasses.dataclass(frozen=True)
class Needed:
    """Names of files with / between their parts; `missing` names what is needed and is not there."""

    files: tuple[str, ...]
    missing: tuple[str, ...]


def needed(files: Mapping[str, int] | frozenset[str]) -> Needed:
    """What of `files`, the names of all there are, makes one whole diffusers model: of no weights more than one kind.

    Whole weights go before those in half precision, which are marked fp16 in their names.
    """
    found, missing = [name for name in ("model_index.json", "scheduler/scheduler_config.json") if name in files], []
    for folder, stem in _STEMS:
        if folder == "text_encoder_2" and not any(name.startswith("text_encoder_2/") for name in files):
            continue
        weights = _weights(files, f"{folder}/{stem}")
        config = f"{folder}/config.json"
        found += [name for name in (config, *weights) if name in files]
        missing += [
            name for name, there in ((config, config in files), (f"{folder}/{stem}.safetensors", weights)) if not there
        ]
    found += [
        name for name in sorted(files) if re.match(r"tokenizer(_2)?/", name) and name.split("/")[1] in _TOKENIZER_FILES
    ]
    if "scheduler/scheduler_config.json" not in files:
        missing.append("scheduler/scheduler_config.json")
    if not any(name in files for name in ("tokenizer/vocab.json", "tokenizer/tokenizer.json")):
        missing.append("tokenizer/vocab.json")
    return Needed(tuple(found), tuple(missing))


def needed_of_vae(files: Mapping[str, int] | frozenset[str]) -> tuple[str, ...]:
    """What of `files` makes one VAE: its config and weights, those in the `vae` folder of a whole model, or one file.

    Empty where there is none of that, or where several single files could be meant.
    """
    for folder in ("", "vae/"):
        config = f"{folder}config.json"
        weights = _weights(files, f"{folder}diffusion_pytorch_model")
        if weights and config in files:
            return (config, *weights)
    found = checkpoints(files)
    return (found[0],) if len(found) == 1 else ()


def needed_of_tokenizer(files: Mapping[str, int] | frozenset[str]) -> tuple[str, ...]:
    """What of `files` makes one tokenizer: that of a whole model, else one at the top; empty where there is neither."""
    for folder in ("tokenizer/", ""):
        found = tuple(f"{folder}{name}" for name in sorted(_TOKENIZER_FILES) if f"{folder}{name}" in files)
        if any(f"{folder}{name}" in found for name in ("vocab.json", "tokenizer.json")):
            return found
    return ()


def _weights(files: Mapping[str, int] | frozenset[str], stem: str) -> list[str]:
    for mark in ("", ".fp16"):
        whole = f"{stem}{mark}.safetensors"
        if whole in files:
            return [whole]
        part = re.compile(rf"{re.escape(stem + mark)}-\d+-of-(\d+)\.safetensors")
        parts = sorted(name for name in files if part.fullmatch(name))
        index = f"{stem}.safetensors.index{mark}.json"
        if index in files and parts and len(parts) == int(parts[0].rpartition("-of-")[2].partition(".")[0]):
            return [index, *parts]
    return []


_NO_BASE_MODEL = re.compile(r"lora|vae|inpaint|refiner|control|text_encoder|adapter|embed|unet|clip", re.IGNORECASE)


def single_file(files: Mapping[str, int] | frozenset[str]) -> str:
    """The one file that must be meant where a repository is no diffusers model; "" when none or several could be."""
    found = [name for name in checkpoints(files) if not _NO_BASE_MODEL.search(name)]
    return found[0] if len(found) == 1 else ""


def checkpoints(files: Mapping[str, int] | frozenset[str]) -> list[str]:
    """The .safetensors files at the top of a repository."""
    return sorted(name for name in files if "/" not in name and name.endswith(".safetensors"))
