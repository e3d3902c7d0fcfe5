"""How often the pictures of the regularisation folder are shown beside those that are learned."""

import itertools
from collections.abc import Sequence

from trainer.dataset.found import Picture, Subset


def repeats(subsets: Sequence[Subset], shown: int) -> list[tuple[Picture, int]]:
    """How often an epoch shows each regularisation picture, beside `shown` pictures to be learned.

    The rule of Kohya's scripts: in order, each as often as its folder says until there are as many as `shown`, the rest
    not at all; where all of them are too few, each once more in turn until there are as many.
    """
    asked = [(picture, subset.repeats) for subset in subsets for picture in subset.pictures]
    before = itertools.accumulate((times for _, times in asked), initial=0)
    first = [times if earlier < shown else 0 for (_, times), earlier in zip(asked, before, strict=False)]
    again, once_more = divmod(max(0, shown - sum(first)), max(1, len(asked)))
    return [
        (picture, times + again + (number < once_more))
        for number, ((picture, _), times) in enumerate(zip(asked, first, strict=True))
    ]
