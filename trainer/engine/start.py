"""A training that begins with what a LoRA file has learned: its changes become the adapter's first values."""

import math
import types
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trainer.adapters.base import Injected, Layer
from trainer.engine.base_loras import Warn, opened
from trainer.formats.factors import factors, spectrum, spectrum_of_whole
from trainer.formats.layers import LoraLayer
from trainer.formats.stranger import LoraFile
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.job.words import say

_DORA = "dora_scale"


class _Cut(NamedTuple):
    """What a layer lost because the job's rank is lower than the file's (0: no lower), as energy, and all that it had.

    Energies are squared Frobenius norms.
    """

    rank: int
    lost: float
    energy: float


@torch.no_grad()
def begin(injected: Injected, job: Job, warn: Warn) -> None:
    """Puts the changes of the file `adapter.start_from` into the layers, exactly wherever their rank suffices.

    Alpha may differ: the change counts. Layers that the file lacks go on changing nothing. Raises Trouble when the file
    does not fit.
    """
    if not job.adapter.start_from:
        return
    file = opened(job.adapter.start_from, job.model.family)
    both = [name for name in injected.layers if name in file.layers]
    if not both:
        raise _trouble("start_nothing", file)
    _say_left_out(file, len(file.layers) - len(both), len(injected.layers) - len(both), warn)
    cuts = [_begin(injected.layers[name], file.layers[name], file) for name in both]
    _say_cut(file, [cut for cut in cuts if cut.rank], warn)


def _trouble(key: str, file: LoraFile, layer: str = "") -> Trouble:
    return Trouble("lora_unusable", reason=say(key, file=file.path, layer=layer))


def _say_left_out(file: LoraFile, unused: int, lacking: int, warn: Warn) -> None:
    if unused or lacking:
        warn(say("start_partly", file=file.path.name, unused=unused, all=len(file.layers), lacking=lacking))


def _say_cut(file: LoraFile, cuts: Sequence[_Cut], warn: Warn) -> None:
    if cuts:
        energy = sum(cut.energy for cut in cuts)
        kept = 1 - sum(cut.lost for cut in cuts) / energy if energy else 1.0
        rank = max(cut.rank for cut in cuts)
        warn(say("start_cut", file=file.path.name, rank=rank, count=len(cuts), kept=f"{100 * kept:.4g}"))


def _begin(live: Layer, stored: LoraLayer, file: LoraFile) -> _Cut:
    """Puts the change of `stored` into `live`."""
    if stored.is_dora and _DORA not in live.tensors:
        raise _trouble("start_dora", file, stored.name)
    if live.tensors.keys() >= {"lora_down", "lora_up"}:
        cut = _as_product(live, stored, file)
    else:
        cut = _as_it_is(live, stored, file)
    if _DORA in live.tensors:
        _norms(live, stored, file)
    return cut


def _scale(live: Layer) -> float:
    tensors = {kind: tensor.detach() for kind, tensor in live.tensors.items()}
    return LoraLayer("", types.MappingProxyType(tensors), live.alpha).scale


def _as_product(live: Layer, stored: LoraLayer, file: LoraFile) -> _Cut:
    """The change as up @ down; where the file's rank is the higher one, the best approximation by singular values."""
    down, up = live.tensors["lora_down"], live.tensors["lora_up"]
    rank, scale = down.shape[0], _scale(live)
    if stored.shape[0] != up.shape[0] or math.prod(stored.shape) != up.shape[0] * down[0].numel():
        raise _trouble("start_shapes", file, stored.name)
    product = factors(stored)
    if product is not None and product.down.shape[0] <= rank:
        ratio = stored.scale / scale
        root = math.sqrt(ratio) if ratio > 0 else 1.0
        # Not product.up, which carries the scale: at equal scales these are the file's own bits.
        _fill(down, up, product.down * root, stored.tensors["lora_up"].float().flatten(1) * (ratio / root))
        return _Cut(0, 0.0, 0.0)
    change = spectrum_of_whole(stored.delta(), rank) if product is None else spectrum(product)
    best, root = change.cut(rank), math.sqrt(scale)
    _fill(down, up, best.down / root, best.up / root)
    return _Cut(stored.rank or min(change.u.shape[0], change.v.shape[1]), change.lost(rank), change.energy)


def _fill(down: Tensor, up: Tensor, new_down: Tensor, new_up: Tensor) -> None:
    """Fills the first ranks; the others keep their random down and a zero up, so that they can be learned."""
    rank = new_down.shape[0]
    up.zero_()
    down[:rank].copy_(new_down.reshape(rank, *down.shape[1:]))
    up[:, :rank].copy_(new_up.reshape(up.shape[0], rank, *up.shape[2:]))


def _as_it_is(live: Layer, stored: LoraLayer, file: LoraFile) -> _Cut:
    """The same tensors, of which one is scaled where alpha differs: no other kind has such an approximation."""
    own = {kind: tensor for kind, tensor in live.tensors.items() if kind != _DORA}
    theirs = {kind: tensor for kind, tensor in stored.tensors.items() if kind != _DORA}
    if own.keys() != theirs.keys() or any(own[kind].shape != theirs[kind].shape for kind in own):
        raise _trouble("start_kind", file, stored.name)
    ratio = stored.scale / _scale(live)
    for number, (kind, tensor) in enumerate(own.items()):
        tensor.copy_((theirs[kind].float() * (1.0 if number else ratio)).reshape(tensor.shape))
    return _Cut(0, 0.0, 0.0)


def _norms(live: Layer, stored: LoraLayer, file: LoraFile) -> None:
    """DoRA's norms: the file's; for a file without them those that the change makes, so that it stays the same."""
    norms = live.tensors[_DORA]
    if stored.is_dora:
        if stored.tensors[_DORA].shape != norms.shape:
            raise _trouble("start_shapes", file, stored.name)
        norms.copy_(stored.tensors[_DORA].float())
    elif live.weight is not None:
        whole = live.weight() + stored.delta(norms.device).reshape(live.weight().shape)
        others = [axis for axis in range(whole.dim()) if norms.shape[axis] == 1]
        norms.copy_(torch.linalg.vector_norm(whole, dim=others, keepdim=True))
