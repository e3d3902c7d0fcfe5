"""The tensors of a .ckpt, .pt or .bin file, read without running anything that stands in it.

Such a file is a pickle, a program for a small machine that may call any function. torch's reader of weights alone knows
only those that make tensors; what trainers commonly leave beside the weights is named here and thrown away.
"""

import pathlib
import pickle
import re
import warnings
from typing import Any

import torch
from torch import Tensor

from trainer.formats.container import TYPES
from trainer.job.trouble import Refused

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
    return dense and value.dtype in TYPES.values() and not value.is_meta


def _load(path: pathlib.Path) -> Any:
    try:
        with path.open("rb") as stream:
            as_archive = stream.read(4) == b"PK\x03\x04"
    except FileNotFoundError:
        raise Refused("file_missing", path=path) from None
    except OSError as error:
        raise Refused("file_unreadable", path=path, reason=error.strerror) from error
    known = [(_Nothing, name) for name in _NEVER_READ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(known):
            warnings.simplefilter("ignore")  # of kinds of storage that torch itself still has to read
            return torch.load(path, map_location="cpu", weights_only=True, mmap=as_archive)
    except Exception as error:  # a file of any origin may bring torch's reader to any
        raise _refused(path, error) from error


def _refused(path: pathlib.Path, error: Exception) -> Refused:
    found = re.search(r"GLOBAL ([\w.]+)|[Ff]unction ([\w.]+)|class[ `]+([\w.]+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return Refused("pickle_acts", path=path, what=next(filter(None, found.groups())))
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".").replace(". ", "; ")
    return Refused("pickle_broken", path=path, reason=reason)
