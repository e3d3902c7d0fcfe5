"""Which layers of a model are adapted, and with what rank and alpha."""

import dataclasses
from collections.abc import Iterator

from torch import nn

from trainer.adapters.base import Target
from trainer.job.blocks import Block, of_block
from trainer.job.facts import ADAPTERS
from trainer.job.settings import Adapter


@dataclasses.dataclass(frozen=True)
class Place:
    """One linear or convolution layer to adapt, by its path in the component.

    `alpha` is what the file says: every reader scales by alpha ÷ rank.
    """

    path: str
    module: nn.Module
    rank: int
    alpha: float

    @property
    def spatial(self) -> bool:
        """Whether it is a convolution that looks at more than one position."""
        return is_spatial(self.module)


def places(target: Target, settings: Adapter) -> list[Place]:
    """The layers of `target` that the settings choose, in the model's order.

    A block whose rank or learning rate is 0 has none, since what does not learn would only make the file larger.
    """
    found = []
    for path, module in _chosen(target, targets(settings)):
        block = target.block_of(path)
        if of_block(settings.block_ranks, block) == 0 or of_block(target.block_rates, block) == 0:
            continue
        rank, alpha = (settings.conv_rank, settings.conv_alpha) if is_spatial(module) else _of_block(settings, block)
        found.append(Place(path, module, rank, stored_alpha(rank, alpha, settings)))
    return found


def _of_block(settings: Adapter, block: Block | None) -> tuple[int, float]:
    """Rank and alpha of linear and 1 × 1 layers; larger convolutions have their own for all blocks."""
    rank, alpha = of_block(settings.block_ranks, block), of_block(settings.block_alphas, block)
    return settings.rank if rank is None else int(rank), settings.alpha if alpha is None else alpha


def targets(settings: Adapter) -> str:
    """Which layers are meant, where the settings leave it to the kind of adapter."""
    if settings.targets != "auto":
        return settings.targets
    return "convolutions" if "conv_rank" in ADAPTERS[settings.type].capabilities else "linear"


def is_spatial(module: nn.Module) -> bool:
    """Whether it is a convolution that looks at more than one position."""
    return isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1)


def _chosen(target: Target, chosen: str) -> Iterator[tuple[str, nn.Module]]:
    classes = {
        "attention": target.attention,
        "attention_mlp": target.attention | target.mlp,
        "linear": target.blocks,
        "convolutions": target.blocks | target.conv_blocks,
    }[chosen]
    inside = tuple(path + "." for path, module in target.module.named_modules() if type(module).__name__ in classes)
    for path, module in target.module.named_modules():
        if path.startswith(inside) and isinstance(module, nn.Linear | nn.Conv2d):
            yield path, module


def stored_alpha(rank: int, alpha: float, settings: Adapter) -> float:
    """The alpha of a file, which readers divide by the rank."""
    # Rank-stabilised (arXiv:2312.03732): a scale of alpha ÷ √rank, for which no file has a sign of its own.
    return alpha * rank**0.5 if settings.rank_stabilised else alpha
