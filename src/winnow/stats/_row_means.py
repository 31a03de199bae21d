"""Confidence intervals whose units are rows: of a mean over rows, and of a difference between
two paired shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from winnow.stats._interval import Interval

__all__ = ["RowGroup", "mean_over_rows", "paired_shares"]

_Floats = NDArray[np.float64]
_STEPS = 50  # of bisection: the ends are exact to 2 ** -49


@dataclass(frozen=True)
class RowGroup:
    """Rows whose mean is one term of a sum.

    Attributes:
        values: (n,) one value for each row.
        weight: of their mean in the sum.
        spread: how far one row that was not seen may lie from the mean, in the unit of ``values``.
            So far the interval reaches at least for the share of rows that n rows cannot exclude;
            without it, equal values would have no width.
    """

    values: NDArray[np.float64]
    weight: float = 1.0
    spread: float = 0.0


def mean_over_rows(
    groups: Sequence[RowGroup], *, confidence: float = 0.95, times: float = 1.0
) -> Interval:
    """Interval of the weighted sum of the groups' means, corrected for skewness.

    A t interval leaves out too much on the long side of a skewed distribution, and losses of single
    rows are skewed: so the t quantile goes through Hall's transformation. Groups are independent;
    their degrees of freedom are put together by Satterthwaite's formula. The interval is never
    narrower than ``spread`` times the share of rows that the score interval leaves open when none
    of n rows was hit, z ** 2 / (n + z ** 2).

    Args:
        groups: one, or one for each stratum.
        confidence: in (0, 1).
        times: as if every row had been seen so many times, to find how many rows would be enough.

    Source: Hall 1992, "On the removal of skewness by transformation", Journal of the Royal
    Statistical Society B 54.
    """
    count = sum(len(group.values) for group in groups)
    mean = float(sum(group.weight * group.values.mean() for group in groups))
    if min(len(group.values) for group in groups) < 2:
        return Interval(mean, -math.inf, math.inf, confidence, count, kind="rows")
    variances, skews, freedoms, floors = [], [], [], []
    z = float(special.ndtri((1 + confidence) / 2))
    for group in groups:
        n = len(group.values) * times
        deviations = group.values - group.values.mean()
        variances.append(group.weight**2 * deviations.var(ddof=1) / n)
        skews.append(group.weight**3 * (deviations**3).mean() / n**2)
        freedoms.append(n - 1)
        floors.append(group.weight * group.spread * z**2 / (n + z**2))
    floor, variance = math.hypot(*floors), float(sum(variances))
    low, high = mean - floor, mean + floor
    error = math.sqrt(variance)
    if error > 1e-12 * abs(mean):  # equal values may differ in their last bit
        freedom = variance**2 / sum(v**2 / df for v, df in zip(variances, freedoms, strict=True))
        quantile = float(special.stdtrit(freedom, (1 + confidence) / 2))
        skew = float(sum(skews)) / error**3
        low = min(low, mean - error * _unskewed(quantile, skew))
        high = max(high, mean - error * _unskewed(-quantile, skew))
    return Interval(mean, low, high, confidence, count, kind="rows")


def _unskewed(quantile: float, skew: float) -> float:
    """The quantile of a Studentized mean with a skew, from that without: the inverse of Hall's
    transformation.
    """
    if abs(skew) < 1e-6:
        return quantile
    return 3 / skew * (math.cbrt(1 + skew * (quantile - skew / 6)) - 1)


def paired_shares(
    lost: ArrayLike,
    won: ArrayLike,
    rows: ArrayLike,
    *,
    confidence: float = 0.95,
    times: float = 1.0,
) -> Interval:
    """How much smaller a share got, when ``lost`` of ``rows`` right answers were lost and ``won``
    were won: mean over strata.

    It stays honest where nothing changed: no change on 50 rows does not exclude one on the 51st.

    Args:
        lost, won: (strata,) counts.
        rows: (strata,) rows of each stratum, at least 1.
        confidence: in (0, 1).
        times: as if every row had been seen so many times.

    Source: score interval of Tango 1998, "Equivalence test and confidence interval for the
    difference in proportions for the paired-sample design"; strata put together by MOVER (Zou and
    Donner 2008).
    """
    z = float(special.ndtri((1 + confidence) / 2))
    lost, won, rows = (np.asarray(counts, dtype=np.float64) for counts in (lost, won, rows))
    means = (lost - won) / rows
    highs = _highest(lost * times, won * times, rows * times, z)
    lows = -_highest(won * times, lost * times, rows * times, z)
    mean, strata = float(means.mean()), len(means)
    low = mean - math.hypot(*(means - lows)) / strata
    high = mean + math.hypot(*(highs - means)) / strata
    return Interval(mean, low, high, confidence, int(rows.sum()), kind="paired shares")


def _highest(lost: _Floats, won: _Floats, n: _Floats, z: float) -> _Floats:
    """The largest difference that the score test does not reject at ``z``: bisection, since the
    statistic falls with it.
    """
    inside, outside = (lost - won) / n, np.ones_like(n)
    for _ in range(_STEPS):
        middle = (inside + outside) / 2
        is_inside = _score(lost, won, n, middle) > -z
        inside, outside = np.where(is_inside, middle, inside), np.where(is_inside, outside, middle)
    return outside


def _score(lost: _Floats, won: _Floats, n: _Floats, difference: _Floats) -> _Floats:
    """Tango's statistic: the difference that was found against ``difference``, in standard
    errors where the latter holds.
    """
    linear = -lost - won + (2 * n - lost + won) * difference
    constant = -won * difference * (1 - difference)
    # Most likely under ``difference``
    share_won = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * share_won + difference * (1 - difference))
    return (lost - won - n * difference) / np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
