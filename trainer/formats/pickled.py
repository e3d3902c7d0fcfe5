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
from trainer.formats.pickle_size import MOST_BYTES, swells
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
_PICKLES_OF_OLD = 5
"""A mark, the version, the machine, what was saved, and the names of its storages."""


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
            trap = (_trap_in_archive if as_archive else _trap)(stream)
    except FileNotFoundError:
        raise Refused("file_missing", path=path) from None
    except OSError as error:
        raise Refused("file_unreadable", path=path, reason=error.strerror) from error
    if trap:
        raise Refused("pickle_broken", path=path, reason=say(trap))
    known = [(_Nothing, name) for name in _NEVER_READ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(known):
            warnings.simplefilter("ignore")  # of kinds of storage that torch itself still has to read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=as_archive)
    except Exception as error:  # a file of any origin may bring torch's reader to any
        raise _refused(path, error) from error


def _trap(stream: BinaryIO) -> str:
    """The key of why no file of the old kind, which begins with a few pickles, may be opened; "" where it may."""
    stream.seek(0)
    return "pickle_swells" if swells(stream.read(MOST_BYTES + 1), _PICKLES_OF_OLD) else ""


def _trap_in_archive(stream: BinaryIO) -> str:
    """The key of why an archive may not be opened, "" where it may: as weights are never packed, it claims no more."""
    size = stream.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(stream) as archive:
            held = archive.infolist()
            if sum(one.file_size for one in held) > size or any(one.compress_type for one in held):
                return "pickle_unfolds"
            # torch does not care for capitals.
            pickles = [one for one in held if one.filename.lower().endswith("data.pkl")]
            return "pickle_swells" if any(swells(_beginning(archive, one), 1) for one in pickles) else ""
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, RuntimeError):
        return ""  # torch says why it cannot be read


def _beginning(archive: zipfile.ZipFile, held: zipfile.ZipInfo) -> bytes:
    with archive.open(held) as stream:
        return stream.read(MOST_BYTES + 1)


def _refused(path: pathlib.Path, error: Exception) -> Refused:
    found = re.search(r"GLOBAL ([\w.]+)|[Ff]unction ([\w.]+)|class[ `]+([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return Refused("pickle_acts", path=path, what=next(filter(None, found.groups())))
    # What Python says of bytes that it stumbles over tells nobody anything.
    said = str(error).strip().splitlines() if isinstance(error, RuntimeError | pickle.UnpicklingError) else []
    reason = (said or [say("pickle_cut")])[0].rstrip(".").replace(". ", "; ")
    return Refused("pickle_broken", path=path, reason=reason)
