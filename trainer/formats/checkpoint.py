"""Single-file checkpoints of Stable Diffusion 1.x, 2.x and XL: where in them the weight of a canonical layer lies."""

import dataclasses
import math
import pathlib
import re
import types
from collections.abc import Iterator, Mapping, Sequence

from trainer.formats import layouts
from trainer.formats.container import Container, open_container
from trainer.formats.layouts import UNET, Layout
from trainer.formats.names import dotted, from_ldm
from trainer.job.trouble import Refused

_OPEN_CLIP = types.MappingProxyType(
    {"attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
)
_FUSED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


@dataclasses.dataclass(frozen=True)
class Place:
    """One layer's weight: all of a tensor, or the `part`-th third of its rows where three are stored as one."""

    layer: str
    tensor: str
    part: int | None
    shape: tuple[int, ...]

    def rows(self) -> slice:
        """The rows of the tensor that belong to the layer."""
        return slice(None) if self.part is None else slice(self.part * self.shape[0], (self.part + 1) * self.shape[0])

    def holds(self, shape: Sequence[int]) -> bool:
        """Whether a change of this shape fits, be the kernel of a convolution written out or not."""
        return shape[0] == self.shape[0] and math.prod(shape[1:]) == math.prod(self.shape[1:])


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file: its family, and the places of its layers by tensor name, in the file's order."""

    container: Container
    layout: Layout
    places: Mapping[str, tuple[Place, ...]]


def open_checkpoint(path: pathlib.Path) -> Checkpoint:
    """The checkpoint's header. Raises Refused when it is none of a family known here."""
    container = open_container(path)
    layout = _layout(container)
    if layout is layouts.UNKNOWN:
        raise Refused("checkpoint_unknown", path=path)
    places = {name: tuple(_places(name, entry.shape, layout)) for name, entry in container.tensors.items()}
    return Checkpoint(container, layout, types.MappingProxyType({name: p for name, p in places.items() if p}))


def _layout(container: Container) -> Layout:
    """By the names of the text encoders, else by what the UNet's attention reads."""
    unet = layouts.SD15.checkpoint[UNET]
    if not any(name.startswith(unet) for name in container.tensors):
        return layouts.UNKNOWN
    for row in reversed(layouts.ALL):
        prefixes = [prefix for component, prefix in row.checkpoint.items() if component != UNET]
        if all(any(name.startswith(prefix) for name in container.tensors) for prefix in prefixes):
            return row
    shapes = {name.removesuffix(".weight"): entry.shape for name, entry in container.tensors.items()}
    return layouts.from_shapes({name: shape for name, shape in shapes.items() if ".attn2." in name})


def _places(name: str, shape: tuple[int, ...], layout: Layout) -> Iterator[Place]:
    for component, prefix in layout.checkpoint.items():
        if not name.startswith(prefix) or len(shape) not in (2, 4):
            continue
        path = name.removeprefix(prefix)
        if component in layout.open_clip:
            yield from _open_clip(component, path, name, shape)
        elif path.endswith(".weight"):
            known = dotted(path.removesuffix(".weight").replace(".", "_"))
            if known == path.removesuffix(".weight"):
                yield Place(f"{component}.{from_ldm(known) if component == UNET else known}", name, None, shape)


def _open_clip(component: str, path: str, name: str, shape: tuple[int, ...]) -> Iterator[Place]:
    found = re.fullmatch(r"resblocks\.(\d+)\.(.+?)(?:\.weight|_weight)", path)
    if not found:
        return
    begins = f"{component}.text_model.encoder.layers.{found[1]}"
    if found[2] == "attn.in_proj":
        for part, layer in enumerate(_FUSED):
            yield Place(f"{begins}.{layer}", name, part, (shape[0] // 3, *shape[1:]))
    elif found[2] in _OPEN_CLIP:
        yield Place(f"{begins}.{_OPEN_CLIP[found[2]]}", name, None, shape)
