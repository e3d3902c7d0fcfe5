"""The paths of a job made whole, so that its run can go on from whatever folder it is resumed in."""

import os
import pathlib

from trainer.dataset import folders
from trainer.job.lora_files import weighted
from trainer.job.settings import Job


def with_whole_paths(job: Job, outputs: pathlib.Path) -> Job:
    """`job` with every path absolute and `outputs` as its output folder; names of what is shipped stay names."""
    base = job.model.base if job.model.base == "starter" else _whole(job.model.base)
    models = {name: _whole(getattr(job.model, name)) for name in ("vae", "tokenizer")}
    pictures = ("folder", "regularisation_folder", "mask_folder")
    loras = [_whole_weighted(text) for text in job.model.base_loras]
    whole = {
        "model": {"base": base, **models, "base_loras": loras},
        "adapter": {"start_from": _whole(job.adapter.start_from)},
        "dataset": {name: _whole_pictures(getattr(job.dataset, name)) for name in pictures},
        "output": {"folder": str(outputs)},
    }
    return job.model_copy(update={name: getattr(job, name).model_copy(update=values) for name, values in whole.items()})


def _whole(name: str) -> str:
    """`name` as an absolute path where it names a file or folder that exists; else it is a hub id and stays."""
    path = os.path.expanduser(name)
    return os.path.abspath(path) if name and os.path.exists(path) else name


def _whole_weighted(text: str) -> str:
    path, _ = weighted(text)
    return _whole(path) + text.removeprefix(path)


def _whole_pictures(name: str) -> str:
    """`name` as an absolute path, there or not; "" where none is named, and what is shipped, stay."""
    folder = folders.resolve(name)
    shipped = folder.is_relative_to(pathlib.Path(__file__).parents[1])
    return name if shipped or not name else str(folder)
