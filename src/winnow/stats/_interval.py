"""Confidence intervals of a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

__all__ = ["Interval", "at_confidence", "decimals", "finite", "in_range", "one_row", "t_interval"]


@dataclass(frozen=True)
class Interval:
    """A mean and the range that holds the true mean with probability ``confidence`` over
    repetitions of the experiment.

    Attributes:
        mean: of the values that were used; NaN when there were none.
        low, high: the ends; infinite below two values, because one value says nothing about the
            spread.
        confidence: in (0, 1).
        n: how many values were used.
        kind: how it was made; ``t`` for Student's t.
        lost: how many values were left out because they were not finite (failed trainings).
    """

    mean: float
    low: float
    high: float
    confidence: float
    n: int
    kind: str = "t"
    lost: int = 0

    def __str__(self) -> str:
        digits = decimals((self.high - self.low) / 2, self.mean)
        lost = f" ({self.lost} lost)" if self.lost else ""
        return (
            f"{in_digits(self.mean, digits)} [{in_digits(self.low, digits)}, "
            f"{in_digits(self.high, digits)}]{lost}"
        )

    def to_dict(self) -> dict[str, float]:
        """Plain data for documents. The ends of an interval from fewer than two values are
        infinite here, too.
        """
        return {k: getattr(self, k) for k in ("mean", "low", "high", "confidence", "n", "lost")}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Interval:
        """The interval of plain data; NaN for numbers that are missing or null."""
        mean, low, high, confidence = (
            math.nan if document.get(k) is None else float(document[k])
            for k in ("mean", "low", "high", "confidence")
        )
        n, lost = (int(document.get(k) or 0) for k in ("n", "lost"))
        return cls(mean, low, high, confidence, n, lost=lost)


def t_interval(values: ArrayLike, confidence: float = 0.95, *, least_sd: float = 0.0) -> Interval:
    """Student's t interval of the mean of ``values``, shape (S,).

    Values that are not finite mark failed trainings: they are left out and counted in ``lost``.
    Exact for normal values, close for the mean of anything without long tails. It says nothing
    about values that were *chosen* for being good.

    Args:
        least_sd: taken for the sample deviation where that is smaller.

    Raises:
        ValueError: for values of any other shape, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie in (0, 1), got {confidence:g}")
    given = vector(values, "values")
    used = finite(given)
    n, lost = len(used), len(given) - len(used)
    mean = float(used.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, confidence, n, lost=lost)
    half = float(
        special.stdtrit(n - 1, (1 + confidence) / 2)
        * max(used.std(ddof=1), least_sd)
        / math.sqrt(n)
    )
    return Interval(mean, mean - half, mean + half, confidence, n, lost=lost)


def at_confidence(interval: Interval, confidence: float) -> Interval:
    """A t interval at another confidence, from the same values."""
    if interval.n < 2:
        return replace(interval, confidence=confidence)
    old, new = special.stdtrit(
        interval.n - 1, [(1 + interval.confidence) / 2, (1 + confidence) / 2]
    ).tolist()
    low, high = (
        (end - interval.mean) * new / old + interval.mean for end in (interval.low, interval.high)
    )
    return replace(interval, low=low, high=high, confidence=confidence)


def in_range(
    interval: Interval,
    bounds: tuple[float, float],
    *,
    rows: int | None = None,
    over: Literal["seeds", "rows"] = "seeds",
) -> Interval:
    """The interval without what the score cannot be, and no narrower than so many rows can tell.

    Scores that are equal have a sample deviation of zero, and yet a score on finitely many rows is
    not known exactly. So the interval gets at least this width, half of it on each side of the
    middle, all on one side at a bound:

    - ``over="seeds"``, the mean of several trainings on the same rows: ``one_row``. A difference of
      less than a row would not have shown in any of them.
    - ``over="rows"``, where the rows stand for others like them: with n rows that all went the same
      way, Clopper and Pearson's two-sided interval at the interval's confidence has the width 1 -
      (alpha / 2)^(1 / n), about 3.7 rows at 95 %, in units of ``n * one_row``.

    Args:
        bounds: the values that the score can take, ``BaseMetric.bounds``.
        rows: how many rows the score is of; None: not known, no width is added.

    Raises:
        ValueError: for fewer than one row.

    Source: C. J. Clopper and E. S. Pearson, The Use of Confidence or Fiducial Limits (1934).
    """
    width = 0.0
    if rows is not None and math.isfinite(interval.mean):
        alpha = 1 - interval.confidence
        all_alike = -rows * math.expm1(math.log(alpha / 2) / max(rows, 1))
        width = one_row(interval.mean, bounds, rows) * (1.0 if over == "seeds" else all_alike)
    low, high = interval.low, interval.high
    if high - low < width:
        middle = (low + high) / 2
        low, high = middle - width / 2, middle + width / 2
        shift = max(bounds[0] - low, 0.0) - max(high - bounds[1], 0.0)
        low, high = low + shift, high + shift
    return replace(
        interval, low=min(max(low, bounds[0]), bounds[1]), high=max(min(high, bounds[1]), bounds[0])
    )


def one_row(mean: float, bounds: tuple[float, float], rows: int) -> float:
    """How much a single row is worth in a score near ``mean`` over ``rows`` rows: what it moves the
    score by.

    For a score with two bounds, their distance divided by the rows: what every row is worth in
    accuracy, and the average row in balanced accuracy, where one of a rare class is worth more. For
    a loss, and for R2, the distance from the perfect score divided by the rows, which is an average
    row's share of it; at the perfect score itself 1 / rows.

    Raises:
        ValueError: for fewer than one row.
    """
    if rows < 1:
        raise ValueError(f"`rows` must be at least 1, got {rows}")
    low, high = bounds
    if math.isfinite(high - low):
        return (high - low) / rows
    ends = [end for end in bounds if math.isfinite(end)]
    return ((abs(mean - ends[0]) if ends else abs(mean)) or 1.0) / rows


def vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """``values`` as float64 of shape (S,)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected `{name}` as (seeds,), got shape {array.shape}")
    return array


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The finite ones of ``values``."""
    return values[np.isfinite(values)]


def decimals(half: float, mean: float) -> int:
    """Decimals that show one digit of an interval's half width, two if it begins with 1, and no
    more: what comes after them the rows and seeds do not tell; below 0 where those of the whole
    part are too many. Three digits of the mean where there is no width. For every place that shows
    an interval, with ``in_digits``.
    """
    width = 1e-9 * abs(mean) < half < math.inf  # equal values may differ in their last bit
    scale = half if width else abs(mean)
    if not 0 < scale < math.inf:
        return 3
    exponent = math.floor(math.log10(scale))
    if not width:
        return min(max(2 - exponent, 0), 12)
    return min(max((2 if scale < 2 * 10.0**exponent else 1) - 1 - exponent, -300), 12)


def in_digits(value: float, digits: int) -> str:
    """``value`` with as many decimals; below 0 rounded to tens, hundreds and so on."""
    return f"{round(value, digits) if math.isfinite(value) else value:.{max(digits, 0)}f}"
