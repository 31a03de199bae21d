"""Score intervals of shares: E. B. Wilson 1927, with a sample size that fits the variance."""

from __future__ import annotations

import math

import numpy as np

from winnow.stats._arrays import Floats
from winnow.stats._quantiles import normal_quantile

__all__ = ["mean_recall_ends", "wilson_ends"]


def wilson_ends(share: float, variance: float, most_rows: float, t: float) -> tuple[float, float]:
    """Return both ends of the score interval of a share that has this variance.

    Args:
        share: in [0, 1].
        variance: of the share; it says how many independent rows the share is worth.
        most_rows: no more rows than these are assumed.
        t: the quantile of the confidence.

    Source: E. L. Korn and B. I. Graubard 1998, for the effective sample size.
    """
    row_variance = share * (1 - share)
    rows = most_rows
    if variance > 0 and row_variance > 0:
        rows = min(row_variance / variance, most_rows)
    shrinkage = 1 + t * t / rows
    middle = (share + t * t / (2 * rows)) / shrinkage
    error = math.sqrt(max(row_variance, 0.0) / rows + t * t / (4 * rows * rows))
    half = t * error / shrinkage
    # Rounding must not put the share outside its own interval, at 0 or at 1
    return min(middle - half, share), max(middle + half, share)


def mean_recall_ends(y: np.ndarray, right: Floats, confidence: float) -> tuple[float, float]:
    """Return both ends of the interval of the mean of the classes' recalls.

    Args:
        y: class indices, shape (n,).
        right: the share of trainings that are right of each row, shape (n,).
        confidence: in (0, 1).

    Source: MOVER, G. Y. Zou and A. Donner 2008: distances of the classes' ends from their means
    are added up as squares.
    """
    z = normal_quantile(confidence)
    recalls, below, above = [], [], []
    for label in np.unique(y):
        right_of_class = right[y == label]
        n = len(right_of_class)
        recall = float(right_of_class.mean())
        variance = float(right_of_class.var(ddof=1)) / n if n > 1 else 0.0
        low, high = wilson_ends(recall, variance, n, z)
        recalls.append(recall)
        below.append(recall - low)
        above.append(high - recall)
    classes = len(recalls)
    mean = float(np.mean(recalls))
    return mean - math.hypot(*below) / classes, mean + math.hypot(*above) / classes
