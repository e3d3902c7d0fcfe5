"""Names of models on the Hugging Face hub, and where in the hub's cache on this machine they lie; asks no network."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping

from trainer.job.files import open_file
from trainer.job.model_files import needed, needed_of_tokenizer, needed_of_vae, single_file

_PART = r"[A-Za-z0-9][\w.-]{0,95}"
_NAME = re.compile(rf"({_PART}/{_PART})(?:/(.+\.safetensors))?")
_LONGEST_COMMIT = 100
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


def of_hub(name: str) -> HubName | None:
    """What `name` means on the hub, and None for a path; one that is there goes before the hub."""
    path = pathlib.Path(os.path.expanduser(name))
    if not name or os.path.exists(path):
        return None
    hub = hub_name(name)
    return None if hub and hub.file and os.path.isdir(path.parts[0]) else hub


def cached(name: HubName, environment: Mapping[str, str] = os.environ) -> pathlib.Path | None:
    """The folder or file on this machine, once all of it that a training needs has been fetched; else None."""
    snapshot, files = _snapshot(name, environment)
    if name.file:
        return snapshot / name.file if name.file in files else None
    if "model_index.json" in files:
        return None if needed(files).missing else snapshot
    file = single_file(files)
    return snapshot / file if file else None


def cached_vae(name: HubName, environment: Mapping[str, str] = os.environ) -> pathlib.Path | None:
    """The folder with the VAE's config and weights, or its single file, once it has been fetched; else None."""
    snapshot, files = _snapshot(name, environment)
    if name.file:
        return snapshot / name.file if name.file in files else None
    found = needed_of_vae(files)
    if not found:
        return None
    return (snapshot / found[0]).parent if len(found) > 1 else snapshot / found[0]


def cached_tokenizer(name: HubName, environment: Mapping[str, str] = os.environ) -> pathlib.Path | None:
    """The folder of a tokenizer's files, once they have been fetched; else None."""
    snapshot, files = _snapshot(name, environment)
    found = needed_of_tokenizer(files)
    return (snapshot / found[0]).parent if found else None


def _snapshot(name: HubName, environment: Mapping[str, str]) -> tuple[pathlib.Path, frozenset[str]]:
    """Where the newest known state of a repository lies, and the names of its files that are there."""
    folder = cache_folder(environment) / f"models--{name.repository.replace('/', '--')}"
    try:
        with open_file(folder / "refs" / "main") as stream:
            commit = stream.read(_LONGEST_COMMIT).decode("utf-8").strip()
        if not re.fullmatch(r"[\w-]+", commit):
            return folder, frozenset()
        snapshot = folder / "snapshots" / commit
        found = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*") if path.is_file()]
        return snapshot, frozenset(found)
    except (OSError, ValueError):
        return folder, frozenset()


def cache_folder(environment: Mapping[str, str] = os.environ) -> pathlib.Path:
    """Where the hub's client keeps what it has fetched (huggingface_hub/constants.py)."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return _expanded(environment[name])
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(environment.get("HF_HOME") or os.path.join(cache, "huggingface")) / "hub"


def _expanded(path: str) -> pathlib.Path:
    return pathlib.Path(os.path.expandvars(os.path.expanduser(path)))
