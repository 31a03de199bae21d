"""The interval of a mean over rows, or of a weighted sum of such means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.stats._arrays import Floats
from winnow.stats._interval import Interval
from winnow.stats._quantiles import normal_quantile, t_quantile

__all__ = ["RowGroup", "mean_over_rows"]

NO_SKEW = 1e-6  # below it Hall's transformation divides by next to nothing, and changes nothing
NO_ERROR = 1e-12  # a share of the mean: equal values may differ in their last bit


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

    values: Floats
    weight: float = 1.0
    spread: float = 0.0


@dataclass(frozen=True)
class _Moments:
    """What the mean of one group adds to the sum's.

    Attributes:
        variance, skew: second and third central moment of the weighted mean.
        freedom: degrees of freedom of the variance.
        floor: the least half width, for rows that were not seen.
    """

    variance: float
    skew: float
    freedom: float
    floor: float


def mean_over_rows(
    groups: Sequence[RowGroup], *, confidence: float = 0.95, times: float = 1.0
) -> Interval:
    """Return the interval of the weighted sum of the groups' means, corrected for skewness.

    A t interval leaves out too much on the long side of a skewed distribution, and losses of single
    rows are skewed: so the t quantile goes through Hall's transformation. Groups are independent;
    their degrees of freedom are put together by Satterthwaite's formula. The interval is never
    narrower than ``spread`` times the share of rows that the score interval leaves open when none
    of n rows was hit, z ** 2 / (n + z ** 2).

    Args:
        groups: one, or one for each stratum.
        confidence: in (0, 1).
        times: as if every row had been seen so many times, to find how many rows would be enough.

    Returns:
        An interval of kind ``rows`` whose ``n`` counts rows; both ends are infinite where a group
        has fewer than two rows.

    Source: Hall 1992, "On the removal of skewness by transformation", Journal of the Royal
    Statistical Society B 54.

    Example:
        >>> import numpy as np
        >>> print(mean_over_rows([RowGroup(np.array([0.1, 0.2, 0.1, 0.2, 0.9]))]))
        0.3 [-0.0, 2.0]
    """
    count = sum(len(group.values) for group in groups)
    mean = float(sum(group.weight * group.values.mean() for group in groups))
    fewest = min(len(group.values) for group in groups)
    if fewest < 2:
        return Interval(mean, -math.inf, math.inf, confidence, count, kind="rows")
    moments = [_moments(group, confidence, times) for group in groups]
    floor = math.hypot(*(m.floor for m in moments))
    low, high = mean - floor, mean + floor
    variance = float(sum(m.variance for m in moments))
    error = math.sqrt(variance)
    if error > NO_ERROR * abs(mean):
        # Satterthwaite's degrees of freedom
        freedom = variance**2 / sum(m.variance**2 / m.freedom for m in moments)
        quantile = t_quantile(freedom, confidence)
        skew = float(sum(m.skew for m in moments)) / error**3
        low = min(low, mean - error * _unskewed(quantile, skew))
        high = max(high, mean - error * _unskewed(-quantile, skew))
    return Interval(mean, low, high, confidence, count, kind="rows")


def _moments(group: RowGroup, confidence: float, times: float) -> _Moments:
    n = len(group.values) * times
    z = normal_quantile(confidence)
    deviations = group.values - group.values.mean()
    # z**2 / (n + z**2) of the rows may be unlike all n that were seen
    floor = group.weight * group.spread * z**2 / (n + z**2)
    return _Moments(
        variance=group.weight**2 * deviations.var(ddof=1) / n,
        skew=group.weight**3 * (deviations**3).mean() / n**2,
        freedom=n - 1,
        floor=floor,
    )


def _unskewed(quantile: float, skew: float) -> float:
    """Return the quantile of a Studentized mean with a skew, from that without.

    This is the inverse of Hall's transformation.
    """
    if abs(skew) < NO_SKEW:
        return quantile
    cube = 1 + skew * (quantile - skew / 6)
    return 3 / skew * (math.cbrt(cube) - 1)
