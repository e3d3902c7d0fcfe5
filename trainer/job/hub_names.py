"""Names of models on the Hugging Face hub, and where in the hub's cache on this machine they lie; asks no network."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

from trainer.job.model_files import needed, single_file

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_NAME = re.compile(rf"({_PART}/{_PART})(?:/(.+\.safetensors))?")
_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/")
_OF_A_PAGE = re.compile(rf"^({_PART}/{_PART})/(?:blob|resolve|tree)/main(?:/|$)")


@dataclasses.dataclass(frozen=True)
class HubName:
    """A repository, "user/model", and the one file of it that is meant, "" for the whole model."""

    repository: str
    file: str = ""


def hub_name(text: str) -> HubName | None:
    """`user/model`, `user/model/file.safetensors` or the address of either in a browser; None for anything else."""
    text = _ADDRESS.sub("", text.strip()).partition("?")[0].rstrip("/")
    text = _OF_A_PAGE.sub(r"\1/", text).rstrip("/")
    found = _NAME.fullmatch(text)
    # A name that ends like a file is the path of one that is not there.
    if not found or (not found[2] and found[1].endswith((".safetensors", ".ckpt", ".json"))) or ".." in text:
        return None
    return HubName(found[1], found[2] or "")


def cached(name: HubName, environment: Mapping[str, str] = os.environ) -> pathlib.Path | None:
    """The folder or file on this machine, once all of it that a training needs has been fetched; else None."""
    folder = cache_folder(environment) / f"models--{name.repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        snapshot = folder / "snapshots" / commit
        if name.file:
            return snapshot / name.file if (snapshot / name.file).is_file() else None
        files = frozenset(path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file())
    except (OSError, ValueError):
        return None
    if "model_index.json" in files:
        return None if needed(files).missing else snapshot
    file = single_file(files)
    return snapshot / file if file else None


def cache_folder(environment: Mapping[str, str] = os.environ) -> pathlib.Path:
    """Where the hub's client keeps what it has fetched (huggingface_hub/constants.py)."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return _expanded(environment[name])
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(environment.get("HF_HOME") or os.path.join(cache, "huggingface")) / "hub"


def _expanded(path: str) -> pathlib.Path:
    return pathlib.Path(os.path.expandvars(os.path.expanduser(path)))
