"""Scores on resampled rows, for metrics that cannot say what each row adds to them.

Axes: n rows, R draws, P predictions, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from winnow.metrics import BaseMetric
from winnow.stats._arrays import Floats
from winnow.stats._quantiles import normal_quantile, t_quantile

__all__ = ["drawn_half", "resampled"]

DRAWS = 200  # give a standard deviation to a twentieth of itself


def resampled(metric: type[BaseMetric], y: np.ndarray, predictions: Sequence[np.ndarray]) -> Floats:
    """Return the scores of several predictions on rows that are drawn with replacement.

    All predictions are scored on the same draws, and the draws are the same at every call with as
    many rows.

    Args:
        metric: of the scores.
        y: class indices, or targets in their own units, shape (n,).
        predictions: probabilities (n, C), or values (n,), of each model.

    Returns:
        Scores, shape (R, P). Draws on which the metric is not defined are left out; R is 0 where
        those are the most.

    Source: the bootstrap, B. Efron 1979.

    Example:
        >>> from winnow.metrics import MAE
        >>> y = np.array([1.0, 2.0, 3.0, 4.0])
        >>> resampled(MAE, y, [y + 0.5, y - 1.0]).shape
        (200, 2)
    """
    rng = np.random.default_rng(0)
    n = len(y)
    scores = []
    for _ in range(DRAWS):
        rows = rng.integers(0, n, n)
        scores.append([float(metric.value(y[rows], p[rows])) for p in predictions])
    scores_RP = np.asarray(scores)
    is_defined_R = np.isfinite(scores_RP).all(axis=1)
    defined_RP: Floats = scores_RP[is_defined_R]
    # Draws without a score are not any draws: they hold one class alone, say. Where they are the
    # most, what is left says little about rows like these.
    return defined_RP if len(defined_RP) > DRAWS // 2 else defined_RP[:0]


def drawn_half(drawn_R2: Floats, n: int, confidence: float, times: float = 1.0) -> float:
    """Return half the width of the interval of the difference between two scores.

    As in ``mean_over_rows`` it is never narrower than what the share of rows could change that n
    rows cannot exclude: equal predictions leave open what they do on other rows.

    Args:
        drawn_R2: the scores of both, of ``resampled``.
        n: how many rows there are.
        confidence: in (0, 1).
        times: as if every row had been seen so many times.

    Returns:
        A number >= 0, in units of the score; infinite without any draw.

    Example:
        >>> drawn_half(np.empty((0, 2)), 30, 0.95)
        inf
    """
    if not len(drawn_R2):
        return math.inf
    many = n * times
    t = t_quantile(max(many - 1, 1), confidence)
    z = normal_quantile(confidence)
    row_sd = float(drawn_R2.std(axis=0).max()) * math.sqrt(n)
    difference_R = drawn_R2[:, 1] - drawn_R2[:, 0]
    error = float(difference_R.std(ddof=1)) / math.sqrt(times)
    return max(t * error, row_sd * z**2 / (many + z**2))
