"""Data sets that are read for the first time: how far that has come, and their first pictures meanwhile."""

import functools
import itertools
import threading
import time
from collections.abc import Iterator

from trainer.dataset.scan import Picture, read_ahead
from trainer.job.settings import Dataset

FIRST_PICTURES = 240
_ENOUGH = 96
"""So many of them fill most windows: the first answer waits for no more."""
_REST_S = 0.2
"""So long no others are read while the page shows the first ones, unless those others take no longer."""
_REMEMBERED = 8
_PATIENCE_S = 5.0
"""So long a data set is read on though nobody asks how far that has come: it may have been the wrong folder."""
_BEGINNING = threading.Lock()


class Reading:
    """A data set that a thread reads: `read` of `count` pictures so far (0 of 0 at first), the `first` ones of them."""

    def __init__(self, settings: Dataset) -> None:
        self.read, self.count = 0, 0
        self.first: list[Picture] = []
        self._pictures = self._all(settings)
        self._begun, self._whole = threading.Event(), threading.Event()
        self._at_work = False
        self._asked_s = self._first_s = 0.0

    def is_whole(self, wait_s: float) -> bool:
        """Whether all has been read; where it has not, it is begun, or gone on with.

        The first pictures, or all if they are no more, are waited for, but no longer than `wait_s`.
        """
        self._asked_s = time.monotonic()
        with _BEGINNING:
            if not self._at_work and not self._whole.is_set():
                self._at_work = True
                if len(self.first) < _ENOUGH:
                    self._begun.clear()
                threading.Thread(target=self._go_on, daemon=True, name="reading pictures").start()
        self._begun.wait(wait_s)
        return self._whole.is_set()

    def _all(self, settings: Dataset) -> Iterator[Picture | None]:
        learned, ahead = read_ahead(settings)
        other = settings.regularisation_folder
        regular, behind = read_ahead(settings.model_copy(update={"folder": other})) if other else (0, iter(()))
        self.count = learned + regular
        self._first_s = time.monotonic()
        for picture in itertools.chain(ahead, behind):
            self.read += 1
            if picture and self.read <= learned and len(self.first) < FIRST_PICTURES:
                self.first.append(picture)
            yield picture

    def _left_s(self) -> float:
        return (time.monotonic() - self._first_s) / self.read * (self.count - self.read)

    def _go_on(self) -> None:
        try:
            for _ in self._pictures:
                if time.monotonic() - self._asked_s > _PATIENCE_S:
                    return
                if len(self.first) == _ENOUGH and not self._begun.is_set() and self._left_s() > _REST_S:
                    self._begun.set()
                    time.sleep(_REST_S)
            self._whole.set()
        finally:
            self._begun.set()
            self._at_work = False


def reading(settings: Dataset) -> Reading:
    """The reading of the data set of `settings`; what has changed in one that is whole, only a scan sees."""
    names = ("folder", "regularisation_folder", "caption_extension", "wildcards")
    with _BEGINNING:
        return _reading_of(Dataset(**{name: getattr(settings, name) for name in names}))


@functools.lru_cache(maxsize=_REMEMBERED)
def _reading_of(settings: Dataset) -> Reading:
    return Reading(settings)
