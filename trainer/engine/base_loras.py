"""LoRA files that a training begins with: opened, and merged into the frozen base model."""

import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn

from trainer.formats import layouts
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job import lora_files
from trainer.job.settings import Job
from trainer.job.trouble import Refused, Trouble
from trainer.job.words import say

Warn = Callable[[str], None]


def check(job: Job, begins: bool) -> None:
    """Raises Trouble for a LoRA file that is needed and of which the header already tells that it cannot be used.

    Only a training that `begins` needs the file that it starts from.
    """
    start_from = job.adapter.start_from if begins else ""
    for _, reason in lora_files.faults(start_from, job.model.base_loras, job.model.family):
        raise Trouble("lora_unusable", reason=reason)


def opened(name: str, family: str) -> LoraFile:
    """The LoRA file that a job names. Raises Trouble when it is none, is not whole, or is for another family."""
    try:
        return of_family(name, family)
    except Refused as error:
        raise Trouble("lora_unusable", reason=error) from error


def of_family(name: str, family: str) -> LoraFile:
    """The LoRA file. Raises Refused when it is none, is not whole, or is for another family."""
    file, wanted = open_lora(pathlib.Path(os.path.expanduser(name))), layouts.layout(family)
    if file.layout not in (layouts.UNKNOWN, wanted):
        raise Refused("lora_other_family", file=name, found=file.layout.label, family=wanted.label)
    return file


@torch.no_grad()
def merge(models: Mapping[str, nn.Module], job: Job, warn: Warn) -> None:
    """Adds the job's base LoRAs to the weights of `models` (by component), calculating in float32. Raises Trouble.

    It depends on nothing but the files and the base model, so a resumed training has the same base.
    """
    for text in job.model.base_loras:
        name, strength = lora_files.weighted(text)
        file = opened(name, job.model.family)
        absent = [layer.name for layer in file.layers.values() if not _merged(models, layer, strength)]
        if len(absent) == len(file.layers):
            raise Trouble("lora_unusable", reason=say("base_lora_foreign", file=name, layer=absent[0]))
        if absent:
            warn(say("base_lora_partly", file=name, count=len(absent), all=len(file.layers), layer=absent[0]))


@contextlib.contextmanager
def worn(models: Mapping[str, nn.Module], file: LoraFile, strength: float) -> Iterator[int]:
    """`models` changed by `file` at `strength` while it lasts, then bit by bit as before; how many layers."""
    modules = {name: module for name in file.layers if (module := _module(models, name)) is not None}
    kept = {name: module.weight.detach().clone() for name, module in modules.items()}
    try:
        with torch.no_grad():
            changed = sum(_merged(models, layer, strength) for layer in file.layers.values()) if strength else 0
        yield changed
    finally:
        with torch.no_grad():
            for name, weight in kept.items():
                modules[name].weight.copy_(weight)


def _merged(models: Mapping[str, nn.Module], layer: LoraLayer, strength: float) -> bool:
    """Whether the model has such a layer, which then has been changed."""
    module = _module(models, layer.name)
    if module is None or layer.shape[0] != module.weight.shape[0] or math.prod(layer.shape) != module.weight.numel():
        return False
    module.weight.copy_(layer.changed(module.weight.float(), strength))
    return True


def _module(models: Mapping[str, nn.Module], name: str) -> nn.Linear | nn.Conv2d | None:
    for component, model in models.items():
        if name.startswith(component + "."):
            try:
                found = model.get_submodule(name.removeprefix(component + "."))
            except AttributeError:
                return None
            return found if isinstance(found, nn.Linear | nn.Conv2d) else None
    return None
