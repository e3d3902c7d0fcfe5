"""LoRA files from Kohya's format to that of PEFT and diffusers, or back, and .ckpt files to .safetensors."""

import argparse
import pathlib
from collections.abc import Iterator

import torch
from torch import Tensor

from trainer.formats import kohya, peft, pickled
from trainer.formats.container import TYPES, write_streamed
from trainer.formats.hashes import NAMES
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import PEFT_METADATA, LoraFile, open_lora
from trainer.job.header import Entry
from trainer.job.model_files import PICKLES
from trainer.job.trouble import Refused
from trainer.job.words import say
from trainer.tools.common import counted, new_file, precision_name, written

_OF_THE_FILE = frozenset({*NAMES, PEFT_METADATA, "format"})


def run(options: argparse.Namespace) -> int:
    """The verb."""
    if options.file.suffix.lower() in PICKLES:
        written(options.out, unpickle(options.file, new_file(options.out), options.precision))
        return 0
    file = open_lora(options.file)
    to = options.to or {"kohya": "peft", "peft": "kohya"}[file.format]
    size = convert(file, new_file(options.out), to, precision_name(options.precision, file.precision))
    print(say(f"convert_to_{to}"))
    written(options.out, size)
    return 0


def convert(file: LoraFile, out: pathlib.Path, to: str, precision: str) -> int:
    """Writes `file` to `out` as kohya or peft; the size in bytes. Every alpha stays, one that is missing is the rank.

    Raises Refused when the format has no words for a layer, and OSError.
    """
    metadata = {name: value for name, value in file.metadata.items() if name not in _OF_THE_FILE}
    if file.unknown and to != file.format:
        raise Refused("convert_unknown", path=file.path, count=len(file.unknown), name=file.unknown[0])
    layers = {name: _with_alpha(layer) for name, layer in file.layers.items()}
    if to == "kohya":
        return kohya.write(out, layers, precision, metadata, file.layout)
    strange = [name for name, layer in layers.items() if not peft.writable(layer)]
    if strange:
        raise Refused("convert_kind", path=file.path, kind=", ".join(file.kinds), name=strange[0])
    return peft.write(out, layers, kohya.DTYPES[precision], metadata)


def _with_alpha(layer: LoraLayer) -> LoraLayer:
    """A missing alpha means scale 1, but not to every program; said outright it does."""
    if layer.alpha is not None or not layer.rank:
        return layer
    return LoraLayer(layer.name, layer.tensors, float(layer.rank))


def unpickle(path: pathlib.Path, out: pathlib.Path, precision: str | None) -> int:
    """Writes the tensors of a .ckpt file to `out`, as they are or in `precision`; the size in bytes.

    Raises Refused and OSError.
    """
    tensors, others = pickled.read_pickled(path)
    if others:
        print(say("convert_dropped", count=others))
    dtype = kohya.DTYPES[precision] if precision else None
    like = {name: _entry(tensor, dtype) for name, tensor in tensors.items()}

    def converted() -> Iterator[tuple[str, Tensor]]:
        for name in counted(list(tensors), "tensors"):
            yield name, tensors[name].detach().to(TYPES[like[name].dtype])

    return write_streamed(out, like, {"format": "pt"}, converted())


def _entry(tensor: Tensor, dtype: torch.dtype | None) -> Entry:
    wanted = dtype if dtype and tensor.is_floating_point() else tensor.dtype
    name = next(name for name, known in TYPES.items() if known == wanted)
    return Entry(name, tuple(tensor.shape), 0, tensor.numel() * wanted.itemsize)
