"""Confidence intervals of a mean over trainings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from winnow.stats._arrays import finite, vector
from winnow.stats._digits import decimals, in_digits
from winnow.stats._quantiles import t_quantile

__all__ = ["Interval", "at_confidence", "t_interval"]


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
        half = (self.high - self.low) / 2
        digits = decimals(half, self.mean)
        mean, low, high = (in_digits(x, digits) for x in (self.mean, self.low, self.high))
        lost = f" ({self.lost} lost)" if self.lost else ""
        return f"{mean} [{low}, {high}]{lost}"

    def to_dict(self) -> dict[str, float]:
        """Return plain data for documents, all but ``kind``.

        The ends of an interval from fewer than two values are infinite here, too.
        """
        return {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "confidence": self.confidence,
            "n": self.n,
            "lost": self.lost,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, float | None]) -> Interval:
        """Return the interval of plain data; a number that is missing or null becomes NaN."""
        return cls(
            mean=_number(document.get("mean")),
            low=_number(document.get("low")),
            high=_number(document.get("high")),
            confidence=_number(document.get("confidence")),
            n=int(document.get("n") or 0),
            lost=int(document.get("lost") or 0),
        )


def t_interval(values: ArrayLike, confidence: float = 0.95, *, least_sd: float = 0.0) -> Interval:
    """Return Student's t interval of the mean of ``values``.

    It is exact for normal values, and close for the mean of anything without long tails. It says
    nothing about values that were *chosen* for being good.

    Args:
        values: one for each training, shape (S,). Those that are not finite mark failed trainings:
            they are left out and counted in ``lost``.
        confidence: in (0, 1).
        least_sd: is taken for the sample deviation where that is smaller, in units of the values.

    Raises:
        ValueError: for values of any other shape, or a confidence outside (0, 1).

    Example:
        >>> print(t_interval([0.81, 0.84, 0.83, 0.82]))
        0.82 [0.80, 0.85]
    """
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie in (0, 1), got {confidence:g}")
    given = vector(values, "values")
    used = finite(given)
    n = len(used)
    lost = len(given) - n
    mean = float(used.mean()) if n else math.nan
    if n < 2:
        return Interval(mean, -math.inf, math.inf, confidence, n, lost=lost)
    sd = max(float(used.std(ddof=1)), least_sd)
    half = t_quantile(n - 1, confidence) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, confidence, n, lost=lost)


def at_confidence(interval: Interval, confidence: float) -> Interval:
    """Return a t interval at another confidence, from the same values.

    Args:
        interval: of ``t_interval``; each end may lie at its own distance from the mean.
        confidence: in (0, 1).

    Example:
        >>> print(at_confidence(t_interval([0.81, 0.84, 0.83, 0.82]), 0.8))
        0.825 [0.814, 0.836]
    """
    if interval.n < 2:
        return replace(interval, confidence=confidence)
    old = t_quantile(interval.n - 1, interval.confidence)
    new = t_quantile(interval.n - 1, confidence)
    low = (interval.low - interval.mean) * new / old + interval.mean
    high = (interval.high - interval.mean) * new / old + interval.mean
    return replace(interval, low=low, high=high, confidence=confidence)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
