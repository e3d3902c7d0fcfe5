"""Gives a reader odd inputs and judges what comes of each: a value or a sentence, within a second."""

import contextlib
import dataclasses
import os
import re
import signal
import time
import types
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis.errors import HypothesisWarning
from hypothesis.strategies import SearchStrategy

# The cores of continuous integration may be slow and shared, which counts as the processor's time too.
LIMIT_S = 3.0 if os.environ.get("CI") else 1.0
"""Of the processor's time: a machine that others use too may take longer."""
STUCK_S = 120
"""Of any time: what waits for something that never comes uses no processor."""
THOROUGH = 20
"""So many times more inputs than continuous integration has time for."""
LONGEST_SENTENCE = 4000

T = TypeVar("T")
_JARGON = re.compile(
    r"Traceback|<class |<function | object at 0x|\[Errno|\[WinError|\b[A-Z]\w+(?:Error|Exception)\b|codec can't|"
    r"\\x[0-9a-f]{2}"
)
_UNSAYABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclasses.dataclass
class Count:
    """How many inputs a reader was given, and the seconds of the processor that it took, in all and at most."""

    inputs: int = 0
    all_s: float = 0.0
    longest_s: float = 0.0


class Trials:
    """Tries readers; `lines` says how many inputs each was given."""

    def __init__(self, thorough: bool) -> None:
        self._thorough = thorough
        self._counts: dict[str, Count] = {}

    def of(
        self,
        name: str,
        read: Callable[[T], object],
        odd: SearchStrategy[T],
        known: Iterable[T] = (),
        *,
        count: int = 50,
    ) -> None:
        """Gives `read` each of `known` and `count` of `odd`; it is to answer or to refuse in a sentence (`said`).

        What is `odd` is the same each time, and other inputs where all is to be tried thoroughly.
        """
        seen = self._counts.setdefault(name, Count())

        def timed(given_input: T) -> None:
            took_s = _timed(read, given_input)
            # What is imported or remembered at the first time is not the input's fault.
            took_s = min(took_s, _timed(read, given_input)) if took_s >= LIMIT_S else took_s
            seen.inputs, seen.all_s = seen.inputs + 1, seen.all_s + took_s
            seen.longest_s = max(seen.longest_s, took_s)
            assert took_s < LIMIT_S, f"{name} took {took_s:.1f} s"

        trial: Any = given(odd)(timed)
        for one in known:
            trial = example(one)(trial)
        many = count * THOROUGH if self._thorough else count
        trial = settings(
            max_examples=many,
            deadline=None,
            database=None,
            derandomize=not self._thorough,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
        )(trial)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HypothesisWarning)  # that an input is too long to be shown well
            trial()

    def lines(self) -> Iterator[str]:
        """A line for each reader."""
        for name, seen in sorted(self._counts.items()):
            mean_ms = 1000 * seen.all_s / max(1, seen.inputs)
            yield f"{name:24}{seen.inputs:8,} inputs{mean_ms:9.2f} ms each{seen.longest_s:7.2f} s at most"


def _timed(read: Callable[[T], object], given_input: T) -> float:
    """The seconds of the processor that `read` takes."""
    began = time.process_time()
    with _no_longer_than(STUCK_S):
        read(given_input)
    return time.process_time() - began


def said(*sentences: object) -> None:
    """Each is one that a person can be shown: nothing of the program's inside, nothing that cannot be written."""
    for text in map(str, sentences):
        assert text.strip(), "nothing was said"
        assert len(text) <= LONGEST_SENTENCE, f"{len(text)} characters: {text[:200]!r}"
        assert not _UNSAYABLE.search(text), ascii(text)
        assert not _JARGON.search(text), ascii(text)
        assert re.search(r"\w \w", text), ascii(text)
        assert text.rstrip()[-1] in ".!?", ascii(text)


def told(*parts: object) -> None:
    """Each is the middle of a sentence, or a message at a field, which ends without a full stop."""
    said(*(f"{str(part).rstrip('.')}." for part in parts))


def _stuck(*_: object) -> None:
    raise TimeoutError(f"it was stuck for {STUCK_S} s")


@contextlib.contextmanager
def _no_longer_than(seconds: int) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):
        yield
        return
    before: Callable[[int, types.FrameType | None], Any] | int | None = signal.signal(signal.SIGALRM, _stuck)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
