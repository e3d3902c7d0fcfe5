"""The change that a layer makes as a product of two thin matrices, and the best such product of a smaller rank.

The singular values of up @ down follow from those of the small matrix R₁R₂ᵀ of their QR decompositions, so the change
itself is never decomposed (Eckart and Young, 1936, for what is best).
"""

import dataclasses
import types
from collections.abc import Mapping

import torch
from torch import Tensor

from trainer.formats.layers import LoraLayer

_FULL_UP_TO = 384


@dataclasses.dataclass(frozen=True)
class Factors:
    """A change of `shape` [out, in, …] as up [out, r] @ down [r, in·…], float32; the scale is in it."""

    up: Tensor
    down: Tensor
    shape: tuple[int, ...]

    def layer(self, name: str, alpha: float | None = None) -> LoraLayer:
        """As a layer of a file with this alpha, else with its rank for alpha."""
        rank = self.down.shape[0]
        alpha = float(rank) if alpha is None else alpha
        root = (rank / alpha) ** 0.5
        up, down = (self.up, self.down) if root == 1 else (self.up * root, self.down * root)
        up, down = up.reshape(self.shape[0], rank, *[1] * (len(self.shape) - 2)), down.reshape(rank, *self.shape[1:])
        tensors = {"lora_down": down.contiguous(), "lora_up": up.contiguous()}
        return LoraLayer(name, types.MappingProxyType(tensors), alpha)


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """A change by its singular vectors u [out, r], v [r, in·…] and values [r], largest first, in float64.

    `rest` is the energy of the values beyond those, where they were not computed. Energies are squared Frobenius norms.
    """

    u: Tensor
    values: Tensor
    v: Tensor
    shape: tuple[int, ...]
    rest: float = 0.0

    @property
    def energy(self) -> float:
        """That of the whole change."""
        return self.lost(0)

    def lost(self, rank: int) -> float:
        """That of what is left out at this rank."""
        return float(self.values[rank:].square().sum()) + self.rest

    def rank_for(self, share: float) -> int:
        """The smallest rank, at least 1, that keeps this share of the energy."""
        kept = self.values.square().cumsum(0)
        return 1 + int((kept < share * kept[-1]).sum().clamp(max=len(kept) - 1))

    def cut(self, rank: int) -> Factors:
        """The best approximation of this rank, with the values shared evenly by both factors."""
        roots = self.values[:rank].sqrt()
        up, down = self.u[:, :rank] * roots, self.v[:rank] * roots[:, None]
        return Factors(up.float(), down.float(), self.shape)


def factors(layer: LoraLayer) -> Factors | None:
    """The layer's change as a product; None for LoHa and LoKr, which have no thin one."""
    if layer.kind != "lora":
        return None
    up, down = layer.tensors["lora_up"].float().flatten(1), layer.tensors["lora_down"].float()
    if "lora_mid" in layer.tensors:
        down = torch.einsum("ijkl,jn->inkl", layer.tensors["lora_mid"].float(), down.flatten(1))
    return Factors(up * layer.scale, down.flatten(1), layer.shape)


def as_layers(changes: Mapping[str, Factors]) -> dict[str, LoraLayer]:
    """The changes as layers that all have one alpha, the highest rank.

    diffusers 0.42 takes one alpha for all attention layers of Kohya's files, whatever each of them says.
    """
    alpha = float(max(change.down.shape[0] for change in changes.values()))
    return {name: change.layer(name, alpha) for name, change in changes.items()}


def joined(parts: list[tuple[Factors, float]]) -> Factors:
    """The weighted sum of changes of one shape, exactly: its rank is the sum of theirs."""
    up = torch.cat([part.up * weight for part, weight in parts], dim=1)
    return Factors(up, torch.cat([part.down for part, _ in parts]), parts[0][0].shape)


def spectrum(change: Factors) -> Spectrum:
    """The singular values and vectors of a product of thin matrices, by QR and a small SVD."""
    q1, r1 = torch.linalg.qr(change.up.double())
    q2, r2 = torch.linalg.qr(change.down.double().T)
    u, values, v = torch.linalg.svd(r1 @ r2.T, full_matrices=False)
    return Spectrum(q1 @ u, values, v @ q2.T, change.shape)


def spectrum_of_whole(change: Tensor, rank: int) -> Spectrum:
    """The largest singular values and vectors of a change [out, in, …], at least `rank` of them where it has so many.

    Full below a few hundred rows or columns; else by random projection (Halko et al., arXiv:0909.4061), repeated until
    the subspace has settled, on the device of `change`.
    """
    flat = change.flatten(1).float()
    smaller = min(flat.shape)
    if smaller <= max(_FULL_UP_TO, 2 * rank):
        u, values, v = torch.linalg.svd(flat, full_matrices=False)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            u, values, v = torch.svd_lowrank(flat, q=min(rank + 16, smaller), niter=4)
        v = v.T
    u, values, v = (tensor.cpu().double() for tensor in (u, values, v))
    rest = 0.0 if len(values) == smaller else float(flat.double().square().sum() - values.square().sum())
    return Spectrum(u, values, v, tuple(change.shape), max(0.0, rest))


def norm(layer: LoraLayer) -> float:
    """The Frobenius norm of the layer's change, without DoRA's norms."""
    change = factors(layer)
    if change is None:
        return float(layer.delta().norm())
    up, down = change.up.double(), change.down.double()
    return float(((up.T @ up) * (down @ down.T)).sum().clamp_min(0).sqrt())
