"""Whether a step may be taken: its loss and its gradient are finite, and its loss does not explode."""

import collections
import statistics

_USUAL_OF = 100
_TIMES = 10.0
_FLOOR = 3.0
_IN_A_ROW = 5
_SKIPPED_IN_A_ROW = 40


class LossWatch:
    """The losses of late, against which one is told that explodes.

    It explodes when it is above `_TIMES` the median of the last `_USUAL_OF` sound losses and above `_FLOOR`, for
    `_IN_A_ROW` steps in a row. Predicting nothing at all costs about 1, and single steps with little noise vary by a
    factor of 10 in the soundest training, so neither an early spike nor a high rate that still learns comes near.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self._floor = _FLOOR * max(1.0, weight)
        self._losses: collections.deque[float] = collections.deque(maxlen=_USUAL_OF)
        self._above = self._skipped = 0

    @property
    def suspects(self) -> bool:
        """Whether the last step was one of those in a row, so that what was learned had better not be kept."""
        return self._above > 0

    @property
    def usual(self) -> float:
        """The median of the sound losses of late; 0 where there are none."""
        return statistics.median(self._losses) if self._losses else 0.0

    def explodes(self, loss: float) -> bool:
        """Whether the loss of a step that was not taken yet is one too many; not taken in, as it may be begun again."""
        return self._is_high(loss) and self._above + 1 >= _IN_A_ROW

    def take(self, loss: float) -> None:
        """Takes in the loss of a step that was taken."""
        if self._is_high(loss):
            self._above += 1
        else:
            self._above = 0
            self._losses.append(loss)

    def _is_high(self, loss: float) -> bool:
        return bool(self._losses) and loss > max(_TIMES * self.usual, self._floor)

    def overflows(self, skipped: bool) -> bool:
        """Takes in whether the loss scaler of fp16 left out a step, and says whether that is one too many.

        Single ones are how it finds its scale; so many in a row have made it 2⁻⁴⁰ of what it was.
        """
        self._skipped = self._skipped + 1 if skipped else 0
        return self._skipped >= _SKIPPED_IN_A_ROW
