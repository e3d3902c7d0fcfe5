"""Data sets that are read for the first time: how far that has come, and their first pictures meanwhile."""

import functools
import itertools
import threading
import time
from collections.abc import Iterator

from trainer.dataset.scan import Picture, read_ahead
from trainer.job.settings import Dataset

FIRST_PICTURES = 240
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
        self._whole = threading.Event()
        self._at_work = False
        self._asked_s = 0.0

    def is_whole(self, wait_s: float) -> bool:
        """Whether all has been read, now or within `wait_s`; where it has not, it is begun, or gone on with."""
        self._asked_s = time.monotonic()
        with _BEGINNING:
            if not self._at_work and not self._whole.is_set():
                self._at_work = True
                threading.Thread(target=self._go_on, daemon=True, name="reading pictures").start()
        return self._whole.wait(wait_s)

    def _all(self, settings: Dataset) -> Iterator[Picture | None]:
        learned, ahead = read_ahead(settings)
        other = settings.regularisation_folder
        regular, behind = read_ahead(settings.model_copy(update={"folder": other})) if other else (0, iter(()))
        self.count = learned + regular
        for picture in itertools.chain(ahead, behind):
            self.read += 1
            if picture and self.read <= learned and len(self.first) < FIRST_PICTURES:
                self.first.append(picture)
            yield picture

    def _go_on(self) -> None:
        try:
            for _ in self._pictures:
                if time.monotonic() - self._asked_s > _PATIENCE_S:
                    return
            self._whole.set()
        finally:
            self._at_work = False


def reading(settings: Dataset) -> Reading:
    """The reading of the data set of `settings`; what has changed in one that is whole, only a scan sees."""
    names = ("folder", "regularisation_folder", "caption_extension", "wildcards")
    with _BEGINNING:
        return _reading_of(Dataset(**{name: getattr(settings, name) for name in names}))


@functools.lru_cache(maxsize=_REMEMBERED)
def _reading_of(settings: Dataset) -> Reading:
    return Reading(settings)
