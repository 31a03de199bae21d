"""How large a mean loss may be when a few rows, perhaps none of those seen, get quite different
answers.

A t-type interval of a mean cannot see what it did not meet. So changes of single rows are cut into
a small and a large part: the small one is bounded and its mean has an interval of the usual kind;
the large one is counted, and as many more rows as the count cannot exclude are taken to lose what a
row loses whose answer is another row's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from winnow.stats import RowGroup, mean_over_rows

__all__ = ["Changes", "upper_end", "when_nothing_is_known"]

_LARGE = 1 / 8  # of the mean loss of a model that knows nothing
_OF_RARE = 0.8  # share of the error probability that is spent on the count of large changes
_MOST_SHIFTS = 64
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Changes:
    """By how much each row got worse, and by how much rows get worse when nothing is known of them.

    Attributes:
        rows: (n,) one change for each row.
        ignorant: such changes of any number, where rows get answers that know nothing of them.
        slope: (n,) what the rows add to the error of the mean besides, to first order; its mean is
            0.
    """

    rows: _Floats
    ignorant: _Floats
    slope: _Floats | float = 0.0

    @cached_property
    def threshold(self) -> float:
        """A change above this is large."""
        return max(float(self.ignorant.mean()), 0.0) * _LARGE

    @cached_property
    def severity(self) -> float:
        """How far beyond the threshold a large change is that was not seen: the mean of such
        changes where nothing is known.
        """
        beyond = self.ignorant[self.ignorant > self.threshold]
        if not len(beyond):
            return 0.0
        return float(beyond.mean()) - self.threshold

    def small(self) -> RowGroup:
        """Return the changes cut off at the threshold."""
        return RowGroup(np.minimum(self.rows, self.threshold) + self.slope)

    def unseen(self, alpha: float, times: float) -> float:
        """Return how much the large changes may add to the mean beyond what those seen add.

        Args:
            alpha: the probability with which they may add more, in (0, 1).
            times: as if every row had been seen so many times.

        Source: the exact upper end of a share, Clopper and Pearson 1934.
        """
        large = self.rows[self.rows > self.threshold] - self.threshold
        n, count = len(self.rows) * times, len(large) * times
        highest_share = 1.0
        if count < n:
            highest_share = float(special.betaincinv(count + 1, n - count, 1 - alpha))
        severity = self.severity
        if len(large):
            # Those seen may be worse than what knows nothing of its row
            severity = max(severity, float(large.mean()))
        return (highest_share - count / n) * severity


def upper_end(mean: float, groups: Sequence[Changes], *, confidence: float, times: float) -> float:
    """Return the highest that a loss may be of which ``mean`` was found.

    The error probability above it is that of a two-sided interval, ``(1 - confidence) / 2``, shared
    out between the small and the large changes (Bonferroni); the large ones of independent groups
    are put together by MOVER.

    Args:
        mean: the loss on the rows.
        groups: one, or one for each class.
        confidence: in (0, 1).
        times: as if every row had been seen so many times.

    Source: for MOVER, Zou and Donner 2008.
    """
    alpha = (1 - confidence) / 2
    of_small = 1 - 2 * alpha * (1 - _OF_RARE)
    small = mean_over_rows([group.small() for group in groups], confidence=of_small, times=times)
    unseen = [group.unseen(alpha * _OF_RARE, times) for group in groups]
    return mean + small.high - small.mean + math.hypot(*unseen)


def when_nothing_is_known(losses: Callable[[NDArray[np.intp]], _Floats], n: int) -> _Floats:
    """Return how much the n rows lose when they get other rows' answers.

    Args:
        losses: (n,) the loss of each row, when row i is answered as row ``rows[i]``.
        n: how many rows there are.

    Returns:
        (shifts * n,) of cyclic shifts: all, or 64 of them evenly spread.
    """
    rows = np.arange(n)
    own = losses(rows)
    furthest = max(n - 1, 1)
    num_shifts = min(_MOST_SHIFTS, furthest)
    shifts = np.unique(np.linspace(1, furthest, num_shifts).astype(int))
    return np.concatenate([losses(np.roll(rows, shift)) - own for shift in shifts])
