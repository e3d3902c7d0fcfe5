"""The tensors of a .ckpt, .pt or .bin file, read without running anything that stands in it.

Such a file is a pickle, a program for a small machine that may call any function. torch's reader of weights alone knows
only those that make tensors; what trainers commonly leave beside the weights is named here and thrown away.
"""

import os
import pathlib
import pickle
import re
import warnings
import zipfile
from typing import Any, BinaryIO

import torch
from torch import Tensor

from trainer.formats.container import TYPES
from trainer.job.files import open_file
from trainer.job.trouble import Refused
from trainer.job.words import say

_NEVER_READ = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
)


class _Nothing:
    """Stands in for things beside the weights: takes whatever it is given and does nothing with it."""

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def read_pickled(path: pathlib.Path) -> tuple[dict[str, Tensor], int]:
    """The tensors of a checkpoint by name, mapped from the file where its kind allows it, and how much else was in it.

    Raises Refused when it holds anything that could act, or is no checkpoint.
    """
    found = _load(path)
    inner = found.get("state_dict", found) if isinstance(found, dict) else None
    if not isinstance(inner, dict):
        raise Refused("pickle_no_tensors", path=path)
    tensors = {name: value for name, value in inner.items() if isinstance(name, str) and _is_plain(value)}
    if not tensors:
        raise Refused("pickle_no_tensors", path=path)
    others = len(inner) - len(tensors) + (len(found) - 1 if inner is not found else 0)
    return tensors, others


def _is_plain(value: Any) -> bool:
    dense = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
    plain = dense and value.dtype in TYPES.values() and not value.is_meta
    # One number can be said to be a million, all in one place.
    return plain and value.nbytes <= value.untyped_storage().nbytes()


def _load(path: pathlib.Path) -> Any:
    try:
        with open_file(path) as stream:
            as_archive = stream.read(4) == b"PK\x03\x04"
            unfolds = as_archive and _unfolds(stream)
    except FileNotFoundError:
        raise Refused("file_missing", path=path) from None
    except OSError as error:
        raise Refused("file_unreadable", path=path, reason=error.strerror) from error
    if unfolds:
        raise Refused("pickle_broken", path=path, reason=say("pickle_unfolds"))
    known = [(_Nothing, name) for name in _NEVER_READ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(known):
            warnings.simplefilter("ignore")  # of kinds of storage that torch itself still has to read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=as_archive)
    except Exception as error:  # a file of any origin may bring torch's reader to any
        raise _refused(path, error) from error


def _unfolds(stream: BinaryIO) -> bool:
    """Whether the archive claims to hold more than it is long: weights are never packed, so it is a trap."""
    size = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(stream) as archive:
            held = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        return False  # torch says why it cannot be read
    return sum(one.file_size for one in held) > size or any(one.compress_type for one in held)


def _refused(path: pathlib.Path, error: Exception) -> Refused:
    found = re.search(r"GLOBAL ([\w.]+)|[Ff]unction ([\w.]+)|class[ `]+([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return Refused("pickle_acts", path=path, what=next(filter(None, found.groups())))
    # What Python says of bytes that it stumbles over tells nobody anything.
    said = str(error).strip().splitlines() if isinstance(error, RuntimeError | pickle.UnpicklingError) else []
    reason = (said or [say("pickle_cut")])[0].rstrip(".").replace(". ", "; ")
    return Refused("pickle_broken", path=path, reason=reason)
