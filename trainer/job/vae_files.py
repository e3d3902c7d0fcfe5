"""What can be said of the VAE that a job names without loading it."""

import os
import pathlib

from trainer.job.header import read_header
from trainer.job.hub_names import hub_name
from trainer.job.trouble import Refused
from trainer.job.words import say

# The published name, with and without the whole model's prefix, and diffusers' name of the same layer.
_SIGNS = ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight")


def problem(name: str) -> str:
    """Why the VAE `name` cannot be used, as far as its folder or its file's header tells, in a sentence; "" if it can.

    No name is the model's own VAE, and a hub id may be anything.
    """
    if not name:
        return ""
    path = pathlib.Path(os.path.expanduser(name))
    if os.path.isdir(path):
        configs = (path / "config.json", path / "vae" / "config.json")
        return "" if any(config.is_file() for config in configs) else say("vae_none", vae=name)
    if os.path.isfile(path):
        try:
            tensors = read_header(path).tensors
        except Refused as error:
            return str(error)
        return "" if any(sign in tensors for sign in _SIGNS) else say("vae_none", vae=name)
    hub = hub_name(name)
    return "" if hub and not hub.file else say("vae_missing", vae=name)
