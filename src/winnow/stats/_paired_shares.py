"""The interval of a difference between two shares of the same rows. Axis: K strata."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from winnow.stats._arrays import Floats
from winnow.stats._interval import Interval
from winnow.stats._quantiles import normal_quantile

__all__ = ["paired_shares"]

BISECTIONS = 50  # the ends are exact to 2 ** -49


def paired_shares(
    lost: ArrayLike,
    won: ArrayLike,
    rows: ArrayLike,
    *,
    confidence: float = 0.95,
    times: float = 1.0,
) -> Interval:
    """Return how much smaller the share of right answers got, as a mean over strata.

    It stays honest where nothing changed: no change on 50 rows does not exclude one on the 51st.

    Args:
        lost: right answers that became wrong, in each stratum, shape (K,).
        won: wrong answers that became right, shape (K,).
        rows: of each stratum, at least 1, shape (K,).
        confidence: in (0, 1).
        times: as if every row had been seen so many times.

    Returns:
        An interval in [-1, 1] of kind ``paired shares``; positive where more were lost than won.

    Source: score interval of Tango 1998, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design"; strata put together by MOVER (Zou and
    Donner 2008).

    Example:
        >>> print(paired_shares([3], [1], [100]))
        0.02 [-0.03, 0.08]
    """
    z = normal_quantile(confidence)
    lost_K = np.asarray(lost, dtype=np.float64)
    won_K = np.asarray(won, dtype=np.float64)
    rows_K = np.asarray(rows, dtype=np.float64)
    means_K = (lost_K - won_K) / rows_K
    seen = (lost_K * times, won_K * times, rows_K * times)
    highs_K = _upper_limit(*seen, z)
    # The lower limit of a difference is minus the upper limit of the opposite one
    lows_K = -_upper_limit(seen[1], seen[0], seen[2], z)
    mean = float(means_K.mean())
    strata = len(means_K)
    low = mean - math.hypot(*(means_K - lows_K)) / strata
    high = mean + math.hypot(*(highs_K - means_K)) / strata
    return Interval(mean, low, high, confidence, int(rows_K.sum()), kind="paired shares")


def _upper_limit(lost: Floats, won: Floats, n: Floats, z: float) -> Floats:
    """Return the largest difference that the score test does not reject at ``z``, shape (K,).

    The statistic falls with the difference, so bisection finds it.
    """
    inside = (lost - won) / n
    outside = np.ones_like(n)
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        is_inside = _score_statistic(lost, won, n, middle) > -z
        inside = np.where(is_inside, middle, inside)
        outside = np.where(is_inside, outside, middle)
    return outside


def _score_statistic(lost: Floats, won: Floats, n: Floats, difference: Floats) -> Floats:
    """Return Tango's statistic: how many standard errors the difference that was found lies above
    ``difference``, if the latter is true.
    """
    # The most likely share of won rows under ``difference`` solves a quadratic equation
    linear = -lost - won + (2 * n - lost + won) * difference
    constant = -won * difference * (1 - difference)
    discriminant = np.maximum(linear**2 - 8 * n * constant, 0.0)
    share_won = (np.sqrt(discriminant) - linear) / (4 * n)
    variance = n * (2 * share_won + difference * (1 - difference))
    # At a difference of one nothing is left to vary: a tiny variance rejects, where none divides
    # by zero
    error = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    return (lost - won - n * difference) / error
