"""What can be said of the VAE that a job names without loading it."""

import os
import pathlib
from collections.abc import Container

from trainer.job.header import read_header
from trainer.job.hub_names import cached_vae, of_hub
from trainer.job.trouble import Refused
from trainer.job.words import say

# The published name, with and without the whole model's prefix, and diffusers' name of the same layer.
_SIGNS = ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight")


def place(name: str) -> pathlib.Path | None:
    """The file, or the folder of the config and the weights, that the VAE `name` is on this machine; else None."""
    if hub := of_hub(name):
        return cached_vae(hub)
    path = pathlib.Path(os.path.expanduser(name))
    if os.path.isfile(path / "vae" / "config.json"):
        return path / "vae"
    return path if os.path.exists(path) else None


def is_vae(tensors: Container[str]) -> bool:
    """Whether a file with `tensors`, by name, holds a VAE, alone or within a whole model."""
    return any(sign in tensors for sign in _SIGNS)


def problem(name: str) -> str:
    """Why the VAE `name` cannot be used, as far as its folder or its file's header tells, in a sentence; "" if it can.

    No name is the model's own VAE, and what the hub has may be anything before it was fetched.
    """
    if not name:
        return ""
    path = place(name)
    if path is None:
        return "" if of_hub(name) else say("vae_missing", vae=name)
    if os.path.isdir(path):
        return "" if (path / "config.json").is_file() else say("vae_none", vae=name)
    try:
        tensors = read_header(path).tensors
    except Refused as error:
        return str(error)
    return "" if is_vae(tensors) else say("vae_none", vae=name)
