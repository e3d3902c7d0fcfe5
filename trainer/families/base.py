"""What the loop sees of a family: five functions, over sizes that are read from the model's own config.

A family is a module `trainer/families/<name>.py` with these functions; the file's name is its name in a job.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import torch
from PIL import Image
from torch import Tensor, nn

from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.engine.pieces import WHOLE
from trainer.job.blocks import Block, outside
from trainer.job.settings import Job

Cached = Mapping[str, Tensor]
"""What `encode` gives of one item: tensors by names that only its family knows, but that a picture's is "latent"."""


@dataclasses.dataclass(frozen=True)
class Component:
    """One trainable part of a family.

    `name` is the canonical prefix of its layers' names ("unet", "text_encoder.text_model"). Adapters go into the
    linear and 1 × 1 layers inside modules whose class is in `blocks`, and, with convolutions, into all layers inside
    those in `conv_blocks`; where less is wanted, only inside those in `attention` and `mlp`. `block_of` tells in which
    of Kohya's blocks a layer is by its path in `module`, None outside of a UNet; what is in a block learns at
    `learning_rate` times its number in `block_rates`, where there are any, and not at all at 0.
    """

    name: str
    module: nn.Module
    blocks: frozenset[str]
    conv_blocks: frozenset[str]
    learning_rate: float
    attention: frozenset[str] = frozenset()
    mlp: frozenset[str] = frozenset()
    block_of: Callable[[str], Block | None] = outside
    block_rates: Sequence[float] = ()


class Parts(Protocol):
    """A loaded, frozen base model."""

    @property
    def components(self) -> tuple[Component, ...]:
        """What adapters are put into."""

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """Every model that a LoRA file may change, whether or not it learns, by the prefix of its layers' names."""

    @property
    def prediction(self) -> str:
        """What the model predicts, as a file's metadata call it."""

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the noise at the last time step leaves nothing of a picture."""

    @property
    def picture_encoder(self) -> nn.Module:
        """The module whose weights decide what an encoded picture is."""


@dataclasses.dataclass(frozen=True)
class Frame:
    """How much of a picture is seen, all (width, height) in px.

    `original` is the picture's own size, `shown` that of the part which is seen, and `place` how much of the picture,
    once scaled, was cut off left of and above it.
    """

    original: tuple[int, int]
    place: tuple[int, int]
    shown: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Pictures of one size with their captions.

    Each tensor of `pictures` [B, …] is stacked from what `encode` gave. `texts` likewise, or None when captions are to
    be encoded in the step because the text encoder learns or the captions change from epoch to epoch. `masks`
    [B, 1, h, w] say how much each part of a picture counts, `weights` [B] how much each picture does, from 0; None
    where all count alike. `frames` are those of the pictures.
    """

    pictures: Cached
    captions: tuple[str, ...]
    texts: Cached | None
    masks: Tensor | None = None
    weights: Tensor | None = None
    frames: tuple[Frame, ...] = ()

    def of(self, rows: slice) -> "Batch":
        """Some of the pictures."""
        texts = None if self.texts is None else _rows(self.texts, rows)
        masks = None if self.masks is None else self.masks[rows]
        weights = None if self.weights is None else self.weights[rows]
        return Batch(_rows(self.pictures, rows), self.captions[rows], texts, masks, weights, self.frames[rows])


def _rows(cached: Cached, rows: slice) -> Cached:
    return {name: tensor[rows] for name, tensor in cached.items()}


@dataclasses.dataclass(frozen=True)
class SampleRequest:
    """One picture to be drawn; sizes are multiples of 8 px."""

    text: str
    negative: str
    width_px: int
    height_px: int
    seed: int
    guidance: float
    steps: int
    sampler: str


Onward = Callable[[int, int], object]


def no_matter(done: int, total: int) -> None:
    """Lets a drawing go on."""


class Family(Protocol):
    """The five functions of a family's module."""

    def load(self, job: Job, device: Device) -> Parts:
        """The frozen base model on the device, in the right dtype. Raises Trouble when it cannot be had."""

    def encode(self, parts: Parts, items: Sequence[Image.Image | str]) -> Sequence[Cached]:
        """What can be computed once: of a picture its latent mean and deviation, of a caption its text states (CPU)."""

    def settle(self, parts: Parts, texts_encoded: bool) -> None:
        """Moves off the device what the steps do not need, once everything (captions only if said so) is encoded."""

    def loss(self, parts: Parts, batch: Batch, draw: Draw, rows: slice = WHOLE) -> Tensor:
        """The mean loss of some pictures of a batch, differentiable; all randomness comes from `draw`.

        It is the one that they have in the whole batch, whatever they share with the other pictures.
        """

    def sample(
        self, parts: Parts, requests: Sequence[SampleRequest], onward: Onward = no_matter
    ) -> Sequence[Image.Image]:
        """The pictures asked for, each from noise of its own seed; the training's randomness is not touched.

        `onward` is told of each sampling step and of how many there are in all; what it raises ends the drawing.
        """


def family(name: str) -> Family:
    """The family whose file is called `name`."""
    return cast(Family, importlib.import_module(f"trainer.families.{name}"))


def encoded(parts_family: Family, parts: Parts, item: Image.Image | str) -> Cached:
    """What `encode` gives for one item."""
    with torch.no_grad():
        return parts_family.encode(parts, [item])[0]


def checkpoint_gradients(module: nn.Module) -> None:
    """Has a model of diffusers or transformers compute its layers again instead of keeping them."""
    # transformers 5.2x renamed its own and warns of the old name.
    names = ("enable_gradient_checkpointing", "activation_checkpointing_enable", "gradient_checkpointing_enable")
    next(getattr(module, name) for name in names if hasattr(module, name))()
