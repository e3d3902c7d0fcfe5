"""What is said of a picture each time it is shown. Pure functions of the text, the settings and a random generator."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from trainer.job.settings import Dataset


def caption_for(text: str, settings: Dataset, rng: random.Random) -> str:
    """`text` as trained on this time: dropped, or with the trigger in front and its tags left out or shuffled.

    With wildcards, one of its lines and of each `{a|b}` is chosen first. The trigger and the first `keep_tokens` tags
    of the text stay in place. The state of `rng` alone decides.
    """
    if rng.random() < settings.caption_dropout:
        return ""
    line = rng.choice(text.splitlines()) if settings.wildcards and text else text
    said = affixed(line, settings)
    if settings.wildcards:
        said = _chosen(said, rng.choice)
    caption = with_trigger(said, settings.trigger, settings.caption_separator)
    if not settings.shuffle_captions and not settings.tag_dropout:
        return caption
    return _mixed(caption, _kept(said, settings), settings, rng)


def vary(settings: Dataset) -> bool:
    """Whether a picture's caption may be another one each time, besides being dropped."""
    return settings.shuffle_captions or settings.tag_dropout > 0 or settings.wildcards


def affixed(text: str, settings: Dataset) -> str:
    """`text` between the words that are put before and after every caption."""
    return " ".join(filter(None, (settings.caption_prefix, text, settings.caption_suffix)))


def with_trigger(text: str, trigger: str, separator: str = ",") -> str:
    """`trigger, text`; only `text` when it begins with the trigger already, in upper or lower case."""
    words = trigger.strip(" ," + separator)
    if not words or _begins_with(text, words, separator):
        return text
    return f"{words}{separator} {text}" if text else words


def tags(text: str, separator: str = ",") -> list[str]:
    """The parts of `text` between separators, without blanks around them and without empty ones."""
    return [part.strip() for part in text.split(separator) if part.strip()]


def longest(text: str, settings: Dataset) -> list[str]:
    """What may be said of a picture at most, a text for each line that wildcards choose from, without the trigger."""
    if not settings.wildcards:
        return [affixed(text, settings)]
    return [_chosen(affixed(line, settings), lambda parts: max(parts, key=len)) for line in text.splitlines()]


def tag_frequency(
    captions: Mapping[str, Iterable[str]], trigger: str = "", separator: str = ","
) -> dict[str, dict[str, int]]:
    """How often each tag (lower case) occurs in each folder, as Kohya's `ss_tag_frequency`: each picture counts once.

    `captions` are the texts of each folder by its name, of which the first line counts; the trigger counts as it is
    trained, in front of each.
    """

    def of(text: str) -> list[str]:
        return tags(with_trigger(text.partition("\n")[0], trigger, separator), separator)

    return {
        folder: dict(Counter(tag.lower() for text in texts for tag in of(text))) for folder, texts in captions.items()
    }


def _chosen(text: str, choose: Callable[[list[str]], str]) -> str:
    """`text` with each `{a|b}` replaced by what is chosen of it; `{{` and `}}` are braces."""

    def replaced(found: re.Match[str]) -> str:
        return found[0][0] if found[1] is None else choose(found[1].split("|"))

    return re.sub(r"\{\{|\}\}|\{([^{}]+)\}", replaced, text)


def _begins_with(text: str, trigger: str, separator: str) -> bool:
    whole, words = (", ".join(tags(part, separator)).casefold() for part in (text, trigger))
    # An underscore goes on with a tag: `cat_ears` is not about the trigger `cat`.
    return whole.startswith(words) and not whole[len(words) : len(words) + 1].replace("_", "a").isalnum()


def _kept(text: str, settings: Dataset) -> int:
    separator = settings.caption_separator
    trigger_tags = len(tags(settings.trigger, separator))
    if _begins_with(text, settings.trigger, separator):
        return max(trigger_tags, settings.keep_tokens)
    return trigger_tags + settings.keep_tokens


def _mixed(caption: str, kept: int, settings: Dataset, rng: random.Random) -> str:
    parts = tags(caption, settings.caption_separator)
    moving = [tag for tag in parts[kept:] if not settings.tag_dropout or rng.random() >= settings.tag_dropout]
    if settings.shuffle_captions:
        rng.shuffle(moving)
    return f"{settings.caption_separator} ".join(parts[:kept] + moving)
