"""From Kohya's format to that of PEFT and diffusers, or back."""

import argparse
import pathlib

from trainer.formats import kohya, peft
from trainer.formats.hashes import NAMES
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import PEFT_METADATA, LoraFile, open_lora
from trainer.job.trouble import Refused
from trainer.job.words import say
from trainer.tools.common import new_file, precision_name, written

_OF_THE_FILE = frozenset({*NAMES, PEFT_METADATA, "format"})


def run(options: argparse.Namespace) -> int:
    """The verb."""
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
