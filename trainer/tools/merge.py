"""Several LoRAs, each with a weight, as one LoRA or as part of a checkpoint."""

import argparse
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trainer.formats import kohya
from trainer.formats.checkpoint import Checkpoint, Place, open_checkpoint
from trainer.formats.container import write_streamed
from trainer.formats.factors import as_layers, factors, joined, spectrum, spectrum_of_whole
from trainer.formats.layers import LoraLayer
from trainer.formats.layouts import UNKNOWN
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job import lora_files
from trainer.job.trouble import Refused
from trainer.job.words import say
from trainer.tools.common import (
    counted,
    network_metadata,
    new_file,
    one_layout,
    percent,
    plain,
    precision_name,
    written,
)

Weighted = Sequence[tuple[LoraFile, float]]


def run(options: argparse.Namespace) -> int:
    """The verb."""
    out = new_file(options.out)
    files = [(open_lora(path), weight) for path, weight in map(weighted, options.files)]
    if options.checkpoint:
        return _into_checkpoint(files, open_checkpoint(options.checkpoint), out)
    layout = one_layout([plain(file) for file, _ in files])
    layers, error = together(files, options.rank)
    precision = precision_name(options.precision, _widest([file for file, _ in files]))
    known = [file.metadata for file, _ in files]
    metadata = {**_shared(files), **network_metadata(layout, layers, known)}
    sentence = "merge_exact" if options.rank is None else "merge_shortened"
    print(say(sentence, rank=_rank(layers), error=percent(error), precision=precision))
    written(out, kohya.write(out, layers, precision, metadata, layout))
    return 0


def weighted(text: str) -> tuple[pathlib.Path, float]:
    """`file=0.8` as path and weight; a file without a weight counts fully. Raises Refused for a weight such as nan."""
    name, weight = lora_files.weighted(text)
    if not math.isfinite(weight):
        raise Refused("merge_weight", text=text)
    return pathlib.Path(name), weight


def together(files: Weighted, rank: int | None) -> tuple[dict[str, LoraLayer], float]:
    """One LoRA that adds what all of them add, and its relative error (Frobenius norms over all layers).

    With `rank` None it is exact: the factors side by side, whose ranks add up. Raises Refused.
    """
    changes, lost, energy = {}, 0.0, 0.0
    for name in counted(sorted({name for file, _ in files for name in file.layers})):
        parts = [(file.layers[name], weight) for file, weight in files if name in file.layers]
        products = [(product, weight) for layer, weight in parts if (product := factors(layer))]
        if rank is None:
            if len(products) < len(parts):
                raise Refused("merge_not_exact", layer=name)
            changes[name] = joined(products)
            continue
        change = spectrum(joined(products)) if len(products) == len(parts) else spectrum_of_whole(_sum(parts), rank)
        changes[name] = change.cut(rank)
        lost += change.lost(rank)
        energy += change.energy
    return as_layers(changes), math.sqrt(lost / energy) if energy else 0.0


def _sum(parts: Sequence[tuple[LoraLayer, float]]) -> Tensor:
    shape = max((layer.shape for layer, _ in parts), key=len)
    return torch.stack([layer.delta().reshape(shape) * weight for layer, weight in parts]).sum(0)


def _rank(layers: Mapping[str, LoraLayer]) -> int:
    return max(layer.rank or 0 for layer in layers.values())


def _widest(files: Sequence[LoraFile]) -> torch.dtype:
    found = {file.precision for file in files}
    return found.pop() if len(found) == 1 else torch.float32


def _shared(files: Weighted) -> dict[str, str]:
    """What the files' metadata say of their words, together: trigger words, tags, and from which files they come."""
    tags: dict[str, object] = {}
    triggers = []
    for file, _ in files:
        triggers.append(file.metadata.get("modelspec.trigger_phrase", ""))
        try:
            tags |= json.loads(file.metadata.get("ss_tag_frequency", "{}"))
        except (ValueError, TypeError, RecursionError):
            continue
    sources = ", ".join(f"{file.path.name}={weight:g}" for file, weight in files)
    about = {"modelspec.merged_from": sources, "modelspec.trigger_phrase": ", ".join(filter(None, triggers))}
    return about | ({"ss_tag_frequency": json.dumps(tags, ensure_ascii=False)} if tags else {})


def _into_checkpoint(files: Weighted, base: Checkpoint, out: pathlib.Path) -> int:
    size = into_checkpoint(files, base, out)
    print(say("merge_checkpoint", count=len(files)))
    written(out, size)
    return 0


def into_checkpoint(files: Weighted, base: Checkpoint, out: pathlib.Path) -> int:
    """Writes `base` with the LoRAs in it, in its own precision, one tensor in memory at a time; the size in bytes.

    Raises Refused for LoRAs of another family or with layers that the checkpoint lacks, and OSError.
    """
    places = {place.layer: place for many in base.places.values() for place in many}
    for file, _ in files:
        _check_fit(file, base, places)
    sources = ", ".join([base.container.path.name, *(f"{file.path.name}={weight:g}" for file, weight in files)])
    metadata = {**base.container.metadata, "modelspec.merged_from": sources}
    return write_streamed(out, base.container.tensors, metadata, _merged(files, base))


def _check_fit(file: LoraFile, base: Checkpoint, places: Mapping[str, Place]) -> None:
    if file.layout not in (UNKNOWN, base.layout):
        labels = {"family": base.layout.label, "other_family": file.layout.label}
        raise Refused("mixed_families", path=base.container.path, other=file.path, **labels)
    missing = [name for name in file.layers if name not in places]
    if missing:
        raise Refused("merge_no_layer", path=file.path, base=base.container.path, count=len(missing), layer=missing[0])
    for name, layer in file.layers.items():
        if not places[name].holds(layer.shape):
            raise Refused("mixed_shapes", path=base.container.path, other=file.path, layer=name)


def _merged(files: Weighted, base: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    for name in counted(list(base.container.tensors), "tensors"):
        tensor = base.container.read(name)
        for place in base.places.get(name, ()):
            parts = [(file.layers[place.layer], weight) for file, weight in files if place.layer in file.layers]
            if parts:
                weight = tensor[place.rows()].float()
                for layer, strength in parts:
                    weight = layer.changed(weight, strength)
                tensor[place.rows()] = weight.to(tensor.dtype)
        yield name, tensor
