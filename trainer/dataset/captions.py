"""What is said of a picture each time it is shown. Pure functions of the text, the settings and a random generator."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping

from trainer.job.settings import Dataset


def caption_for(text: str, settings: Dataset, rng: random.Random) -> str:
    """`text` as trained on this time: with the trigger in front, dropped, or with its tags shuffled.

    The trigger and the first `keep_tokens` tags of the text stay in place. The state of `rng` alone decides.
    """
    if rng.random() < settings.caption_dropout:
        return ""
    caption = with_trigger(text, settings.trigger)
    if not settings.shuffle_captions:
        return caption
    return _shuffled(caption, _kept(text, settings), rng)


def with_trigger(text: str, trigger: str) -> str:
    """`trigger, text`; only `text` when it begins with the trigger already, in upper or lower case."""
    words = trigger.strip(" ,")
    if not words or _begins_with(text, words):
        return text
    return f"{words}, {text}" if text else words


def tags(text: str) -> list[str]:
    """The comma-separated parts of `text` without blanks around them and without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def tag_frequency(captions: Mapping[str, Iterable[str]], trigger: str = "") -> dict[str, dict[str, int]]:
    """How often each tag (lower case) occurs in each folder, as Kohya's `ss_tag_frequency`: each picture counts once.

    `captions` are the texts of each folder by its name; the trigger counts as it is trained, in front of each.
    """
    return {
        folder: dict(Counter(tag.lower() for text in texts for tag in tags(with_trigger(text, trigger))))
        for folder, texts in captions.items()
    }


def _begins_with(text: str, trigger: str) -> bool:
    whole, words = ", ".join(tags(text)).casefold(), ", ".join(tags(trigger)).casefold()
    # An underscore goes on with a tag: `cat_ears` is not about the trigger `cat`.
    return whole.startswith(words) and not whole[len(words) : len(words) + 1].replace("_", "a").isalnum()


def _kept(text: str, settings: Dataset) -> int:
    trigger_tags = len(tags(settings.trigger))
    if _begins_with(text, settings.trigger):
        return max(trigger_tags, settings.keep_tokens)
    return trigger_tags + settings.keep_tokens


def _shuffled(caption: str, kept: int, rng: random.Random) -> str:
    parts = tags(caption)
    moving = parts[kept:]
    rng.shuffle(moving)
    return ", ".join(parts[:kept] + moving)
