"""A LoRA at a smaller rank: the same for all layers, or for each the one that keeps a share of its energy."""

import argparse
import math
from collections.abc import Callable

from trainer.formats import kohya
from trainer.formats.factors import Spectrum, as_layers, factors, spectrum, spectrum_of_whole
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import LoraFile, open_lora
from trainer.job.words import say
from trainer.tools.common import counted, network_metadata, new_file, percent, plain, precision_name, written


def run(options: argparse.Namespace) -> int:
    """The verb."""
    out = new_file(options.out)
    file = plain(open_lora(options.file))
    layers, error = resized(file, lambda change: options.rank or change.rank_for(options.keep))
    precision = precision_name(options.precision, file.precision)
    metadata = {**file.metadata, **network_metadata(file.layout, layers, [file.metadata])}
    ranks = sorted(layer.rank or 0 for layer in layers.values())
    print(say("resize_done", least=ranks[0], median=ranks[len(ranks) // 2], most=ranks[-1], error=percent(error)))
    written(out, kohya.write(out, layers, precision, metadata, file.layout))
    return 0


def resized(file: LoraFile, rank_of: Callable[[Spectrum], int]) -> tuple[dict[str, LoraLayer], float]:
    """The layers at the ranks that `rank_of` chooses, never above their own, and the relative error.

    The error is the Frobenius norm of what all layers lose over that of what they had. Raises Refused.
    """
    changes, lost, energy = {}, 0.0, 0.0
    for name in counted(list(file.layers)):
        change = _spectrum(file.layers[name])
        rank = max(1, min(rank_of(change), len(change.values)))
        changes[name] = change.cut(rank)
        lost += change.lost(rank)
        energy += change.energy
    return as_layers(changes), math.sqrt(lost / energy) if energy else 0.0


def _spectrum(layer: LoraLayer) -> Spectrum:
    product = factors(layer)
    if product is not None:
        return spectrum(product)
    delta = layer.delta()
    return spectrum_of_whole(delta, min(delta.flatten(1).shape))
