"""What a score on finitely many rows can be, and how finely those rows can tell it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from winnow.stats._arrays import Floats, finite
from winnow.stats._interval import Interval

__all__ = ["all_equal", "in_range", "least_deviation", "one_row", "row_step", "shown_margin"]

ROUNDING = 1e-12  # differences nearer than this are equal


def in_range(
    interval: Interval,
    bounds: tuple[float, float],
    *,
    rows: int | None = None,
    over: Literal["seeds", "rows"] = "seeds",
) -> Interval:
    """Return the interval without what the score cannot be, and no narrower than the rows can tell.

    Scores that are equal have a sample deviation of zero, and yet a score on finitely many rows is
    not known exactly. So the interval gets at least this width, half of it on each side of the
    middle, all on one side at a bound:

    - ``over="seeds"``, the mean of several trainings on the same rows: ``one_row``. A difference of
      less than a row would not have shown in any of them.
    - ``over="rows"``, where the rows stand for others like them: with n rows that all went the same
      way, Clopper and Pearson's two-sided interval at the interval's confidence has the width 1 -
      (alpha / 2)^(1 / n), about 3.7 rows at 95 %, in units of ``n * one_row``.

    Args:
        interval: of the mean of a score.
        bounds: the values that the score can take, ``BaseMetric.bounds``.
        rows: how many rows the score is of; None: not known, no width is added.
        over: what the interval is to cover.

    Raises:
        ValueError: for fewer than one row.

    Source: C. J. Clopper and E. S. Pearson, The Use of Confidence or Fiducial Limits (1934).

    Example:
        >>> from winnow.stats import t_interval
        >>> print(in_range(t_interval([1.0, 1.0, 1.0]), (0.0, 1.0), rows=50))
        1.000 [0.980, 1.000]
    """
    low, high = interval.low, interval.high
    if rows is not None and math.isfinite(interval.mean):
        width = _least_width(interval, bounds, rows, over)
        if high - low < width:
            low, high = _widened(low, high, width, bounds)
    lowest, highest = bounds
    return replace(
        interval,
        low=min(max(low, lowest), highest),
        high=max(min(high, highest), lowest),
    )


def _least_width(
    interval: Interval,
    bounds: tuple[float, float],
    rows: int,
    over: Literal["seeds", "rows"],
) -> float:
    """Return the width below which ``rows`` rows cannot tell two scores apart."""
    worth = one_row(interval.mean, bounds, rows)
    if over == "seeds":
        return worth
    alpha = 1 - interval.confidence
    # n * (1 - (alpha / 2)^(1 / n)), by expm1 since the power is close to 1 for many rows
    rows_all_alike = -rows * math.expm1(math.log(alpha / 2) / rows)
    return worth * rows_all_alike


def _widened(
    low: float, high: float, width: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Return ends that are ``width`` apart around the same middle, moved to lie within bounds."""
    middle = (low + high) / 2
    low = middle - width / 2
    high = middle + width / 2
    below = max(bounds[0] - low, 0.0)
    above = max(high - bounds[1], 0.0)
    shift = below - above
    return low + shift, high + shift


def one_row(mean: float, bounds: tuple[float, float], rows: int) -> float:
    """Return by how much a single row moves a score near ``mean`` over ``rows`` rows.

    For a score with two bounds, that is their distance divided by the rows: what every row is worth
    in accuracy, and the average row in balanced accuracy, where one of a rare class is worth more.
    For a loss, and for R2, it is the distance from the perfect score divided by the rows, which is
    an average row's share of it; at the perfect score itself it is 1 / rows.

    Args:
        mean: the score, or about what it is.
        bounds: the values that the score can take, ``BaseMetric.bounds``.
        rows: how many rows it is of, at least 1.

    Returns:
        A number > 0, in units of the score.

    Raises:
        ValueError: for fewer than one row.

    Example:
        >>> one_row(0.9, (0.0, 1.0), 200)
        0.005
    """
    if rows < 1:
        raise ValueError(f"`rows` must be at least 1, got {rows}")
    low, high = bounds
    if math.isfinite(high - low):
        return (high - low) / rows
    perfect = [bound for bound in bounds if math.isfinite(bound)]
    distance = abs(mean - perfect[0]) if perfect else abs(mean)
    return (distance or 1.0) / rows


def row_step(bounds: tuple[float, float], rows: int | None) -> float:
    """Return the worth of an average row for a score with two bounds, else 0.

    Scores with two bounds are taken to move in steps of this size.

    Args:
        bounds: the values that the score can take.
        rows: how many rows it is of; None: not known.

    Example:
        >>> row_step((0.0, 1.0), 200), row_step((0.0, math.inf), 200)
        (0.005, 0.0)
    """
    moves_in_rows = math.isfinite(bounds[1] - bounds[0])
    if rows is None or not moves_in_rows:
        return 0.0
    return one_row(0.0, bounds, rows)


def shown_margin(
    smallest_effect: float,
    bounds: tuple[float, float],
    rows: int | None,
    row_worth: float | None = None,
) -> float:
    """Return the margin within which differences can be shown to lie.

    That is ``smallest_effect``, or 0 for a score with two bounds when one row can move it farther:
    rows that did not change on these seeds then say nothing about differences of that size.

    Args:
        smallest_effect: the smallest difference that matters, >= 0, in units of the score.
        bounds: the values that the score can take.
        rows: how many rows it is of; None: not known.
        row_worth: by how much one row can move the score at most; None: all rows move it by as
            much (``row_step``).

    Example:
        >>> shown_margin(0.01, (0.0, 1.0), 200), shown_margin(0.001, (0.0, 1.0), 200)
        (0.01, 0.0)
    """
    step = row_step(bounds, rows) if row_worth is None else row_worth
    return smallest_effect if smallest_effect >= step - ROUNDING else 0.0


def least_deviation(
    differences: Floats,
    scores: Floats,
    bounds: tuple[float, float],
    rows: int | None,
) -> float:
    """Return the least standard deviation that differences between scores are taken to have.

    It is half a row, for a score with two bounds always, and for any other where all differences
    are equal: no deviation at all would be rows too few to show one.

    Args:
        differences: pair by pair, shape (pairs,), all finite.
        scores: of the reference, shape (S,); those that are not finite are left out.
        bounds: the values that the scores can take.
        rows: how many rows they are of; None: not known, and the least is 0.

    Example:
        >>> scores = np.array([0.9, 0.8])
        >>> least_deviation(np.array([0.0, 0.1]), scores, (0.0, 1.0), 200)
        0.0025
    """
    used = finite(scores)
    if rows is None or not len(used):
        return 0.0
    moves_in_rows = math.isfinite(bounds[1] - bounds[0])
    if not moves_in_rows and not all_equal(differences):
        return 0.0
    return one_row(float(used.mean()), bounds, rows) / 2


def all_equal(differences: Floats) -> bool:
    """Return whether two or more differences are equal but for rounding."""
    return len(differences) > 1 and bool(np.ptp(differences) <= ROUNDING)
