"""What a tuned checkpoint adds to its base, as a LoRA: a truncated singular value decomposition of each difference."""

import argparse
import math
import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from trainer.formats import kohya
from trainer.formats.checkpoint import Checkpoint, Place, open_checkpoint
from trainer.formats.factors import as_layers, spectrum_of_whole
from trainer.formats.layers import LoraLayer
from trainer.formats.layouts import TEXT, TEXT_2, UNET
from trainer.job.trouble import Refused
from trainer.job.words import say
from trainer.tools.common import counted, network_metadata, new_file, percent, written

_LINEAR = re.compile(rf"{UNET}\.\w+(?:\.\d+)?\.attentions\.|(?:{TEXT}|{TEXT_2})\.text_model\..*\.(?:self_attn|mlp)\.")
_CONVOLUTIONAL = re.compile(rf"{UNET}\.\w+(?:\.\d+)?\.(?:resnets|downsamplers|upsamplers)\.")


def run(options: argparse.Namespace) -> int:
    """The verb."""
    out = new_file(options.out)
    tuned, base = open_checkpoint(options.tuned), open_checkpoint(options.base)
    layers, error = extracted(tuned, base, options.rank, options.conv_rank)
    metadata = {
        **network_metadata(base.layout, layers),
        "ss_output_name": out.stem,
        "ss_sd_model_name": base.container.path.name,
        "modelspec.title": out.stem,
        "modelspec.description": say("extract_note", tuned=tuned.container.path.name, base=base.container.path.name),
    }
    print(say("extract_done", count=len(layers), rank=options.rank, error=percent(error)))
    written(out, kohya.write(out, layers, options.precision, metadata, base.layout))
    return 0


def extracted(
    tuned: Checkpoint, base: Checkpoint, rank: int, conv_rank: int | None
) -> tuple[dict[str, LoraLayer], float]:
    """The layers that differ, at this rank (3 × 3 convolutions at `conv_rank`), and the relative error.

    The error is the Frobenius norm of what is lost over that of the differences of these layers. Two layers' weights
    are in memory at a time. Raises Refused for checkpoints of different kinds, or alike in all that a LoRA can change.
    """
    device = _fastest()
    changes, lost, energy = {}, 0.0, 0.0
    pairs = list(_pairs(tuned, base, conv_rank))
    for place, other in counted(pairs):
        difference = _weight(tuned, other).to(device) - _weight(base, place).to(device)
        if not difference.any():
            continue
        kept = conv_rank if conv_rank and max(place.shape[2:], default=1) > 1 else rank
        change = spectrum_of_whole(difference, kept)
        changes[place.layer] = change.cut(kept)
        lost += change.lost(kept)
        energy += change.energy
    if not changes:
        raise Refused("extract_same", tuned=tuned.container.path, base=base.container.path)
    return as_layers(changes), math.sqrt(lost / energy)


def _pairs(tuned: Checkpoint, base: Checkpoint, conv_rank: int | None) -> Iterator[tuple[Place, Place]]:
    """Each layer that is to be compared, in the base and in the tuned checkpoint."""
    if tuned.layout is not base.layout:
        labels = {"family": base.layout.label, "other_family": tuned.layout.label}
        raise Refused("mixed_families", path=base.container.path, other=tuned.container.path, **labels)
    theirs: Mapping[str, Place] = {place.layer: place for many in tuned.places.values() for place in many}
    for place in (place for many in base.places.values() for place in many):
        if not _LINEAR.match(place.layer) and not (conv_rank and _CONVOLUTIONAL.match(place.layer)):
            continue
        other = theirs.get(place.layer)
        if other is None or other.shape != place.shape:
            raise Refused("mixed_shapes", path=base.container.path, other=tuned.container.path, layer=place.layer)
        yield place, other


def _weight(checkpoint: Checkpoint, place: Place) -> Tensor:
    return checkpoint.container.read(place.tensor)[place.rows()].float()


def _fastest() -> torch.device:
    # Apple's graphics have no singular value decomposition.
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
