"""What is different between the settings of two jobs, in words."""

from collections.abc import Mapping
from typing import Any

from trainer.job.fields import specs
from trainer.job.words import shown

_LONGEST = 60


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """`Learning rate: 0.0001 → 5e-05, Epochs: 10 → 20` of settings by path; "" where all are the same.

    A setting that only one of the two has is passed over: another version knows more or fewer.
    """
    paths = [path for path in specs() if path in before and path in now and before[path] != now[path]]
    return ", ".join(_difference(specs()[path].title, before[path], now[path]) for path in paths)


def _difference(title: str, before: Any, now: Any) -> str:
    both = f"{_shown(before)} → {_shown(now)}"
    return title if len(both) > _LONGEST else f"{title}: {both}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(shown(value))
