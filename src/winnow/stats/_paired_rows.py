"""How much better one prediction is than another on the same rows.

Axes: n rows, C classes.
"""

from __future__ import annotations

import math

import numpy as np

from winnow.metrics import BaseMetric
from winnow.stats._granularity import in_range
from winnow.stats._interval import Interval
from winnow.stats._paired_shares import paired_shares
from winnow.stats._resampling import drawn_half, resampled
from winnow.stats._row_means import RowGroup, mean_over_rows

__all__ = ["paired_rows"]


def paired_rows(
    metric: type[BaseMetric],
    y: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Return how far the score of ``candidate`` lies above that of ``reference``, over other rows
    like these; for a loss, how far it lies above is how much worse it is.

    It is ``paired_shares`` where rows are right or wrong, else ``mean_over_rows`` of the
    differences of the rows' parts, or else Student's t interval with the deviation of the
    differences on resampled rows.

    The interval never leaves what two scores allow: shares lie in [0, 1], so a gain of one lies in
    [-1, 1]; nearer where one of the two predicts the same for every row, so that its balanced
    accuracy or ROC AUC is the same on all rows.

    Args:
        metric: of the scores.
        y: class indices, or values, shape (n,).
        reference, candidate: probabilities (n, C), or values (n,).
        confidence: in (0, 1).

    Returns:
        An interval in units of the score; its ``n`` counts rows.

    Example:
        >>> import numpy as np
        >>> from winnow.metrics import MAE
        >>> y = np.array([1.0, 2.0, 3.0, 4.0])
        >>> print(paired_rows(MAE, y, y + 0.3, y + [0.1, 0.2, 0.1, 0.3]))
        -0.12 [-0.26, 0.07]
    """
    found = _gain(metric, y, reference, candidate, confidence)
    return in_range(found, _gain_bounds(metric, y, reference, candidate))


def _gain_bounds(
    metric: type[BaseMetric],
    y: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
) -> tuple[float, float]:
    """Return the least and the most that the score of ``candidate`` can lie above that of
    ``reference``, on whatever rows.
    """
    low, high = metric.bounds
    if not math.isfinite(high - low):
        return -math.inf, math.inf
    constant = metric.of_a_constant(y)
    if constant is None:
        return low - high, high - low
    reference_is_constant = _is_constant(reference)
    candidate_is_constant = _is_constant(candidate)
    # Where both are constant a gain of exactly zero would follow, but only as far as these rows
    # tell: on others either may answer differently
    if reference_is_constant == candidate_is_constant:
        return low - high, high - low
    if reference_is_constant:
        return low - constant, high - constant
    return constant - high, constant - low


def _is_constant(prediction: np.ndarray) -> bool:
    return bool(np.ptp(prediction, axis=0).max() == 0)


def _gain(
    metric: type[BaseMetric],
    y: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    confidence: float,
) -> Interval:
    """Return the interval of the gain, which may reach beyond what two scores allow."""
    if metric.by_class:
        stratum_n = np.unique(y, return_inverse=True)[1]
    else:
        stratum_n = np.zeros(len(y), dtype=np.int64)
    if metric.hits:
        return _gain_in_hits(metric, y, reference, candidate, stratum_n, confidence)
    gain = _score(metric, y, candidate) - _score(metric, y, reference)
    reference_n = metric.row_parts(y, reference)
    candidate_n = metric.row_parts(y, candidate)
    if reference_n is None or candidate_n is None:
        return _gain_by_resampling(metric, y, reference, candidate, gain, confidence)
    # A row that was not seen may differ as widely as the wider of the two predictions does
    spread = max(float(reference_n.std()), float(candidate_n.std()))
    difference_n = candidate_n - reference_n
    groups = []
    for stratum, count in enumerate(np.bincount(stratum_n)):
        values = difference_n[stratum_n == stratum] + gain
        groups.append(RowGroup(values, weight=count / len(y), spread=spread))
    return mean_over_rows(groups, confidence=confidence)


def _gain_in_hits(
    metric: type[BaseMetric],
    y: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    stratum_n: np.ndarray,
    confidence: float,
) -> Interval:
    """Return the interval of the gain of a share of rows that are right, stratum by stratum."""
    rows = np.bincount(stratum_n)
    before_n = np.asarray(metric.per_row(y, reference)) > 0
    after_n = np.asarray(metric.per_row(y, candidate)) > 0
    lost = np.bincount(stratum_n[before_n & ~after_n], minlength=len(rows))
    won = np.bincount(stratum_n[~before_n & after_n], minlength=len(rows))
    # ``paired_shares`` says how much is lost; what is won the other way round is the gain
    return paired_shares(won, lost, rows, confidence=confidence)


def _score(metric: type[BaseMetric], y: np.ndarray, prediction: np.ndarray) -> float:
    """Return the score as the sum of what the rows add, so that the parts fit it exactly."""
    pairs = metric.pairs(y, prediction)
    if pairs is None:
        return float(metric.value(y, prediction))
    return float(pairs.sum()) / 2


def _gain_by_resampling(
    metric: type[BaseMetric],
    y: np.ndarray,
    reference: np.ndarray,
    candidate: np.ndarray,
    gain: float,
    confidence: float,
) -> Interval:
    n = len(y)
    if n < 2:
        return Interval(gain, -math.inf, math.inf, confidence, n, kind="rows")
    drawn_R2 = resampled(metric, y, [reference, candidate])
    half = drawn_half(drawn_R2, n, confidence)
    return Interval(gain, gain - half, gain + half, confidence, n, kind="rows")
