"""Why a step cannot be taken: what is looked for when a loss or a gradient is not finite, in the order of certainty."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import torch

from trainer.adapters.base import Injected
from trainer.dataset.plan import Item
from trainer.engine.batches import Supply
from trainer.engine.cache import is_usable, picture_key
from trainer.engine.checkpoint import Learner
from trainer.engine.device import Device
from trainer.engine.draw import Draw
from trainer.engine.memory import attempted
from trainer.engine.soundness import LossWatch
from trainer.families.base import Cached, Family, Parts, encoded
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble
from trainer.job.words import say

_USUAL_RATE = float(Training.model_fields["learning_rate"].default)
INNOCENT = frozenset(
    {"out_of_memory_after_all", "picture_not_finite", "caption_not_finite", "base_not_finite", "loss_not_finite"}
)
"""The troubles that what was learned until then has no part in, so that it is worth keeping."""


class Scene(Protocol):
    """What a step is taken with."""

    @property
    def job(self) -> Job: ...
    @property
    def kind(self) -> Family: ...
    @property
    def parts(self) -> Parts: ...
    @property
    def learner(self) -> Learner: ...
    @property
    def supplies(self) -> Supply: ...
    @property
    def place(self) -> Device: ...
    @property
    def watch(self) -> LossWatch: ...


@torch.no_grad()
def culprit(scene: Scene, step: int, together: Sequence[Sequence[Item]], what: str, blame: bool = False) -> Trouble:
    """The error that names what made step `step` (from 0) on the batches `together` impossible, as `what` says.

    Where nothing else is found, `blame` puts it down to what was learned until then: it does so for a loss, but of a
    gradient the passes through the base model that are tried here say nothing, unless the loss was already too high.
    """
    about = {"what": what, "step": step + 1, "precision": scene.job.training.precision}
    for item in (item for items in together for item in items):
        if not is_usable(scene.supplies.pictures[picture_key(item)]):
            return Trouble("picture_not_finite", picture=item.picture.path, **about)
        if not is_usable(_said(scene, item)):
            return Trouble("caption_not_finite", caption=item.caption, **about)
    if not all(bool(tensor.isfinite().all()) for tensor in scene.learner.injected.tensors().values()):
        return too_fast(scene, step, what)
    with _unlearned(scene.learner.injected):
        failing, _ = attempted(lambda: _failing(scene, step, together))
    if failing is not None:
        return Trouble("base_not_finite", picture=failing.picture.path, **about)
    if step == 0 or not (blame or scene.watch.suspects):  # before the first step nothing has been learned too fast
        return Trouble("loss_not_finite", **about)
    return too_fast(scene, step, what)


def too_fast(scene: Scene, step: int, what: str) -> Trouble:
    """The error that blames the learning rate, the highest where there are several, and says a better one."""
    rate = max(part.learning_rate for part in scene.parts.components)
    usual = 1.0 if OPTIMIZERS[scene.job.training.optimizer].one_learning_rate else _USUAL_RATE
    better = usual if rate > 100 * usual else rate / 10
    return Trouble("rate_too_high", what=what, step=step + 1, rate=f"{rate:g}", better=f"{better:g}")


def not_finite(name: str, value: float) -> str:
    """What has happened, for `what`: the "loss" or the "gradient" has become `value`."""
    return say(f"{name}_became", value=value)


def _said(scene: Scene, item: Item) -> Cached:
    if scene.supplies.texts is not None:
        return scene.supplies.texts[item.caption]
    with scene.place.accelerator.autocast(), _unlearned(scene.learner.injected):
        return encoded(scene.kind, scene.parts, item.caption)


def _failing(scene: Scene, step: int, together: Iterable[Sequence[Item]]) -> Item | None:
    """The first picture for which the loss is not finite."""
    for number, items in enumerate(together):
        batch = scene.supplies.batch(items)
        for row, item in enumerate(items):
            draw = Draw(scene.job.training.seed, step, number, scene.place.torch)
            with scene.place.accelerator.autocast():
                loss = scene.kind.loss(scene.parts, batch, draw, slice(row, row + 1))
            if not loss.isfinite():
                return item
    return None


@contextlib.contextmanager
def _unlearned(injected: Injected) -> Iterator[None]:
    """The base model as it is without what was learned; but for DoRA's norms, by which weights are divided."""
    tensors = [tensor for name, tensor in injected.tensors().items() if not name.endswith(".dora_scale")]
    copies = [tensor.detach().clone() for tensor in tensors]
    for tensor in tensors:
        tensor.zero_()
    try:
        yield
    finally:
        for tensor, copy in zip(tensors, copies, strict=True):
            tensor.copy_(copy)
