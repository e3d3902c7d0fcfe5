"""What one layer of a LoRA file holds, and what it adds to the model: the arithmetic of every reader of such files."""

import dataclasses
import functools
import re
import types
from collections.abc import Mapping

import torch
from torch import Tensor

# What follows a layer's name in Kohya's and LyCORIS's files, by kind of tensor.
ENDINGS: Mapping[str, str] = types.MappingProxyType(
    {
        **{kind: f"{kind}.weight" for kind in ("lora_down", "lora_up", "lora_mid")},
        **{kind: kind for kind in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")},
        **{kind: kind for kind in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")},
        "lokr_t2": "lokr_t2",
        "dora_scale": "dora_scale",
    }
)


_SPATIAL = re.compile(r"^unet\..*(?:resnets\.\d\.conv[12]|samplers\.0\.conv)$|^unet\.conv_(?:in|out)$")


@dataclasses.dataclass(frozen=True)
class LoraLayer:
    """One layer by its canonical name, its tensors by kind (a key of ENDINGS) as stored, and its alpha (None: absent).

    Kinds: `lora` up @ down (LoCon, with lora_mid a CP decomposition), `loha` (w1_a @ w1_b) ∘ (w2_a @ w2_b), `lokr`
    w1 ⊗ w2, the last two of LyCORIS (arXiv:2309.14859), with Tucker cores t1, t2.
    """

    name: str
    tensors: Mapping[str, Tensor]
    alpha: float | None

    @property
    def kind(self) -> str:
        """lora, loha or lokr."""
        beginning = next(iter(name for name in self.tensors if name != "dora_scale")).partition("_")[0]
        return {"lora": "lora", "hada": "loha", "lokr": "lokr"}[beginning]

    @property
    def is_dora(self) -> bool:
        """Whether the layer also sets its weight's norms (arXiv:2402.09353), so that its change is no mere sum."""
        return "dora_scale" in self.tensors

    @property
    def norms_inputs(self) -> bool:
        """Whether a DoRA's norms are those of the weight's columns, [1, in, …], and not of its rows, [out, 1, …]."""
        return self.is_dora and self.tensors["dora_scale"].shape[0] == 1 != self.shape[0]

    @property
    def rank(self) -> int | None:
        """The rank that alpha is divided by; None for a LoKr whose two factors are whole."""
        for name in ("lora_down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
            if name in self.tensors:
                return self.tensors[name].shape[0]
        return None

    @property
    def scale(self) -> float:
        """alpha ÷ rank; 1 where either is missing, as every reader has it."""
        return 1.0 if self.alpha is None or not self.rank else self.alpha / self.rank

    @functools.cached_property
    def shape(self) -> tuple[int, ...]:
        """The delta's shape, [out, in] or [out, in, k, k]."""
        meta = {name: torch.empty(tensor.shape, device="meta") for name, tensor in self.tensors.items()}
        return tuple(self._kernel(_product(self.kind, meta)).shape)

    def delta(self, device: torch.device | str = "cpu") -> Tensor:
        """What is added to the weight at strength 1, without a DoRA's norms: float32, of `shape`."""
        floats = {name: tensor.to(device, torch.float32) for name, tensor in self.tensors.items()}
        return self._kernel(_product(self.kind, floats)) * self.scale

    def _kernel(self, change: Tensor) -> Tensor:
        # LoHa and LoKr store convolutions as [out, in·k·k]; the name tells which layers have 3 × 3 kernels.
        if change.dim() == 2 and _SPATIAL.search(self.name) and change.shape[1] % 9 == 0:
            return change.reshape(change.shape[0], -1, 3, 3)
        return change

    def changed(self, weight: Tensor, strength: float) -> Tensor:
        """`weight` [out, in, …] (float32) as this layer makes it; for DoRA by ‖W + ΔW‖, as in its paper.

        Norms of columns all programs that read DoRA compute so (ComfyUI, Forge, A1111 from 1.9); for those of rows
        ComfyUI and Forge divide by ‖W‖ instead.
        """
        whole = weight + self.delta(weight.device).reshape(weight.shape) * (1.0 if self.is_dora else strength)
        if not self.is_dora:
            return whole
        scale = self.tensors["dora_scale"].to(weight.device, torch.float32)
        kept = 1 if self.norms_inputs else 0
        others = [axis for axis in range(weight.dim()) if axis != kept]
        norms = torch.linalg.vector_norm(whole, dim=others, keepdim=True)
        whole = whole * (scale.reshape(norms.shape) / norms.clamp_min(torch.finfo(torch.float32).tiny))
        return weight + strength * (whole - weight)


def _product(kind: str, tensors: Mapping[str, Tensor]) -> Tensor:
    """The unscaled delta. Raises RuntimeError and KeyError when the tensors do not fit together."""
    return {"lora": _lora, "loha": _loha, "lokr": _lokr}[kind](tensors)


def _lora(tensors: Mapping[str, Tensor]) -> Tensor:
    up, down = tensors["lora_up"].flatten(1), tensors["lora_down"]
    if "lora_mid" in tensors:
        # A 1 × 1 convolution to the rank, one of the kernel's size within it, and one from it.
        return torch.einsum("oi,ijkl,jn->onkl", up, tensors["lora_mid"], down.flatten(1))
    return (up @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])


def _loha(tensors: Mapping[str, Tensor]) -> Tensor:
    sides = [_tucker(tensors.get(f"hada_t{n}"), tensors[f"hada_w{n}_a"], tensors[f"hada_w{n}_b"]) for n in (1, 2)]
    return sides[0] * sides[1]


def _tucker(core: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """a @ b, or with a core [rank, rank, k, k] the kernel [out, in, k, k] from a [rank, out] and b [rank, in]."""
    if core is None:
        return a @ b
    return torch.einsum("ijkl,io,jn->onkl", core, a, b)


def _lokr(tensors: Mapping[str, Tensor]) -> Tensor:
    first = tensors["lokr_w1"] if "lokr_w1" in tensors else tensors["lokr_w1_a"] @ tensors["lokr_w1_b"]
    if "lokr_w2" in tensors:
        second = tensors["lokr_w2"]
    else:
        second = _tucker(tensors.get("lokr_t2"), tensors["lokr_w2_a"], tensors["lokr_w2_b"])
    # torch.kron cannot view what einsum leaves in another order of axes.
    return torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - 2)), second.contiguous())
