"""Scores on test rows: the rows are a sample of those to come, so an interval covers them as well
as the seeds.

Every score whose metric can say what each row adds to it (``row_parts``, its influence values) is
treated as a mean over rows, to first order. For others, rows are resampled.
Axes: S trainings (seeds), n rows, R draws, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from winnow.metrics import BaseMetric
from winnow.stats._arrays import Floats
from winnow.stats._granularity import in_range
from winnow.stats._interval import Interval
from winnow.stats._quantiles import t_quantile
from winnow.stats._resampling import resampled
from winnow.stats._shares import mean_recall_ends, wilson_ends

__all__ = ["FEW_ROWS", "rows_interval"]

FEW_ROWS = 50  # fewer test rows than this are warned of
LARGEST_LOG = 700.0  # exp of more is beyond float64


@dataclass(frozen=True)
class _Variances:
    """What makes the variance of the mean score; rows and seeds are crossed.

    Attributes:
        rows: what rows make of it; infinite where nothing is known.
        seeds: what seeds make of it.
        both: what is left of a row's part when row and seed are taken off. It is in both.
    """

    rows: float
    seeds: float
    both: float

    @property
    def mean(self) -> float:
        """The variance of the mean: an estimate, so no less than either of its parts."""
        return max(self.rows + self.seeds - self.both, self.rows, self.seeds)

    def freedom(self, row_freedom: float, seed_freedom: float) -> float:
        """Return Satterthwaite's degrees of freedom, from those of both parts."""
        weight = self.rows**2 / row_freedom + self.seeds**2 / seed_freedom
        if weight <= 0:
            return row_freedom
        return (self.rows + self.seeds) ** 2 / weight


def rows_interval(
    metric: type[BaseMetric],
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    scores: Sequence[float],
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return the interval of a test score, over other rows like these and other trainings.

    The mean is that of the trainings' scores. Its variance is that of rows and seeds, which are
    crossed: the variance of the rows' parts, averaged over seeds, over the rows; plus the variance
    of the seeds' scores over the seeds; less the variance of what is left of a part when row and
    seed are taken off, which is in both. Degrees of freedom are Satterthwaite's.

    A share - a score between 0 and 1 of which more is better - gets Wilson's interval for as many
    rows as would give its variance, but no more than there are: of balanced accuracy class by
    class. Any other score with a best value, such as a loss, or R2, gets Student's t interval of
    the logarithm of its distance from that. So no end lies beyond what a score can be, and none has
    no width.

    Args:
        metric: of the scores.
        y: class indices, or values, shape (n,).
        predictions: of each training: probabilities (n, C), or values (n,).
        scores: of each training, in the same order.
        confidence: in (0, 1).

    Returns:
        An interval of kind ``rows and seeds`` whose ``n`` counts trainings. It is as wide as the
        metric's bounds where nothing is known about the rows.

    Source: for the crossed variance A. B. Owen 2007, "The pigeonhole bootstrap"; for shares E. B.
    Wilson 1927 with the effective sample size of E. L. Korn and B. I. Graubard 1998; for classes
    put together G. Y. Zou and A. Donner 2008 (MOVER); for an area near 1 the sample size that R. G.
    Newcombe 2006 gives it.

    Example:
        >>> import numpy as np
        >>> from winnow.metrics import MAE
        >>> y = np.array([1.0, 2.0, 3.0, 4.0])
        >>> print(rows_interval(MAE, y, [y + [0.1, 0.2, 0.1, 0.3]], [0.175]))
        0.17 [0.07, 0.42]
    """
    n = len(y)
    seeds = len(scores)
    mean = float(np.mean(scores))
    variances = _variances(metric, y, predictions, scores)
    if math.isinf(variances.rows):
        unknown = Interval(mean, -math.inf, math.inf, confidence, seeds, kind="rows and seeds")
        return in_range(unknown, metric.bounds)
    row_freedom = max(_independent_rows(metric, y) - 1, 1)
    freedom = variances.freedom(row_freedom, max(seeds - 1, 1))
    t = t_quantile(max(freedom, 1.0), confidence)
    half = t * math.sqrt(variances.mean)
    worst, best = metric.bounds if metric.higher_is_better else metric.bounds[::-1]
    if metric.hits and metric.by_class:
        beyond_rows = max(variances.mean - variances.rows, 0.0)
        low, high = _balanced_ends(y, predictions, mean, math.sqrt(beyond_rows) * t, confidence)
    elif (worst, best) == (0.0, 1.0):
        most_rows = metric.effective_rows(y, predictions[0])
        low, high = wilson_ends(mean, variances.mean, most_rows, t)
    elif math.isfinite(best):
        low, high = _log_distance_ends(mean, best, half, higher_is_better=metric.higher_is_better)
    else:
        low, high = mean - half, mean + half
    found = Interval(mean, low, high, confidence, seeds, kind="rows and seeds")
    return in_range(found, metric.bounds, rows=n, over="rows")


def _independent_rows(metric: type[BaseMetric], y: np.ndarray) -> int:
    """Return how many rows the variance of the rows is estimated from.

    Where classes weigh alike, the rarest one makes most of the variance: as many rows count as two
    classes of its size have.
    """
    if not metric.by_class:
        return len(y)
    counts = np.unique(y, return_counts=True)[1]
    return 2 * int(counts.min())


def _balanced_ends(
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    mean: float,
    beyond_rows: float,
    confidence: float,
) -> tuple[float, float]:
    """Return the ends for a balanced accuracy: those of its rows, class by class, and what seeds
    add to them, ``beyond_rows``, as squares.
    """
    right = np.mean([p.argmax(axis=1) == y for p in predictions], axis=0)
    low, high = mean_recall_ends(y, right, confidence)
    return mean - math.hypot(mean - low, beyond_rows), mean + math.hypot(high - mean, beyond_rows)


def _log_distance_ends(
    mean: float, best: float, half: float, *, higher_is_better: bool
) -> tuple[float, float]:
    """Return the ends for a score whose distance from its best value has a symmetric interval on
    the scale of logarithms; ``half`` is half the width of the plain interval.
    """
    distance = abs(best - mean)
    # To first order, the logarithm deviates by the deviation over the distance
    log_half = half / distance if distance > 0 else 0.0
    factor = math.exp(min(log_half, LARGEST_LOG))
    near, far = distance / factor, distance * factor
    if higher_is_better:
        return best - far, best - near
    return best + near, best + far


def _variances(
    metric: type[BaseMetric],
    y: np.ndarray,
    predictions: Sequence[np.ndarray],
    scores: Sequence[float],
) -> _Variances:
    seeds = len(scores)
    of_seeds = float(np.var(scores, ddof=1)) / seeds if seeds > 1 else 0.0
    parts = [metric.row_parts(y, prediction) for prediction in predictions]
    known = [part for part in parts if part is not None]
    if len(known) == seeds:
        of_rows, both = _from_parts(metric, y, np.stack(known))
    else:
        of_rows, both = _from_draws(resampled(metric, y, predictions), scores)
    return _Variances(of_rows, of_seeds, both)


def _from_parts(metric: type[BaseMetric], y: np.ndarray, parts_Sn: Floats) -> tuple[float, float]:
    """Return the variance that rows make, and what is left beside row and seed, from the parts
    that rows add to the scores.
    """
    seeds, n = parts_Sn.shape
    mean_n = parts_Sn.mean(axis=0)
    class_n = y if metric.by_class else np.zeros(n, dtype=np.int64)
    rest_Sn = parts_Sn - mean_n
    freedom = max(seeds - 1, 1) * max(n - 1, 1)
    both = float((rest_Sn**2).sum()) / freedom / (seeds * n)
    return _stratified_variance(mean_n, class_n), both


def _from_draws(drawn_RS: Floats, scores: Sequence[float]) -> tuple[float, float]:
    """Return the same from scores on resampled rows."""
    if not len(drawn_RS):
        return math.inf, 0.0
    seeds = len(scores)
    own_S = np.asarray(scores) - np.mean(scores)
    mean_R = drawn_RS.mean(axis=1)
    rest_RS = drawn_RS - mean_R[:, None] - own_S
    both = float((rest_RS**2).sum(axis=1).mean()) / (max(seeds - 1, 1) * seeds)
    return float(mean_R.var()), both


def _stratified_variance(parts_n: Floats, class_n: np.ndarray) -> float:
    """Return the variance of the mean of parts whose mean is zero in each class."""
    _, place_n, counts = np.unique(class_n, return_inverse=True, return_counts=True)
    squares = np.bincount(place_n, parts_n**2)
    # Bessel's correction, class by class; a class of one row keeps its square
    corrected = squares * counts / np.maximum(counts - 1, 1)
    return float(corrected.sum()) / len(parts_n) ** 2
