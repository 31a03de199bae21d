"""Scores on test rows: the rows are a sample of those to come, so an interval covers them as well
as the seeds.

Every score whose metric can say what each row adds to it (``row_parts``, its influence values) is
treated as a mean over rows, to first order. For others, rows are resampled.
Axes: S trainings (seeds), n rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from winnow.metrics import BaseMetric
from winnow.stats._interval import Interval, in_range
from winnow.stats._row_means import RowGroup, mean_over_rows, paired_shares

__all__ = ["FEW_ROWS", "drawn_half", "paired_rows", "resampled", "rows_interval"]

FEW_ROWS = 50  # fewer test rows than this are warned of
_DRAWS = 200  # of resampled rows


def rows_interval(
    metric: type[BaseMetric],
    y: NDArray[Any],
    predictions: Sequence[NDArray[Any]],
    scores: Sequence[float],
    *,
    confidence: float = 0.95,
) -> Interval:
    """The interval of a test score, over other rows like these and other trainings of the recipe.

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
        y: shape (n,): class indices, or values.
        predictions: of each training: probabilities (n, C), or values (n,).
        scores: of each training, in the same order.
        confidence: in (0, 1).

    Source: for the crossed variance A. B. Owen 2007, "The pigeonhole bootstrap"; for shares E. B.
    Wilson 1927 with the effective sample size of E. L. Korn and B. I. Graubard 1998; for classes
    put together G. Y. Zou and A. Donner 2008 (MOVER); for an area near 1 the sample size that R. G.
    Newcombe 2006 gives it.
    """
    n, seeds = len(y), len(scores)
    mean = float(np.mean(scores))
    of_rows, left = _of_rows(metric, y, predictions, scores)
    if math.isinf(of_rows):  # nothing is known
        nothing = Interval(mean, -math.inf, math.inf, confidence, seeds, kind="rows and seeds")
        return in_range(nothing, metric.bounds)
    of_seeds = float(np.var(scores, ddof=1)) / seeds if seeds > 1 else 0.0
    variance = max(of_rows + of_seeds - left, of_rows, of_seeds)
    independent = (2 * int(np.unique(y, return_counts=True)[1].min()) if metric.by_class else n) - 1
    sizes = of_rows**2 / max(independent, 1) + of_seeds**2 / max(seeds - 1, 1)
    freedom = (of_rows + of_seeds) ** 2 / sizes if sizes > 0 else max(independent, 1)
    t = float(special.stdtrit(max(freedom, 1.0), (1 + confidence) / 2))
    worst, best = metric.bounds if metric.higher_is_better else metric.bounds[::-1]
    if metric.hits and metric.by_class:
        low, high = _by_class(
            y, np.mean([p.argmax(axis=1) == y for p in predictions], axis=0), confidence
        )
        beyond = math.sqrt(max(variance - of_rows, 0.0)) * t
        low, high = mean - math.hypot(mean - low, beyond), mean + math.hypot(high - mean, beyond)
    elif (worst, best) == (0.0, 1.0):
        low, high = _wilson(mean, variance, metric.effective_rows(y, predictions[0]), t)
    elif math.isfinite(best):
        loss = abs(best - mean)
        factor = math.exp(min(t * math.sqrt(variance) / loss, 700.0)) if loss > 0 else 1.0
        low, high = loss / factor, loss * factor
        low, high = (
            (best - high, best - low) if metric.higher_is_better else (best + low, best + high)
        )
    else:
        low, high = mean - t * math.sqrt(variance), mean + t * math.sqrt(variance)
    found = Interval(mean, low, high, confidence, seeds, kind="rows and seeds")
    return in_range(found, metric.bounds, rows=n, over="rows")


def _of_rows(
    metric: type[BaseMetric],
    y: NDArray[Any],
    predictions: Sequence[NDArray[Any]],
    scores: Sequence[float],
) -> tuple[float, float]:
    """The variance of the mean score that rows make, and that of what is left when row and seed
    are taken off.
    """
    n, seeds = len(y), len(scores)
    parts = [metric.row_parts(y, p) for p in predictions]
    known = [part for part in parts if part is not None]
    if len(known) == seeds:
        parts_Sn = np.stack(known)
        class_n = y if metric.by_class else np.zeros(n, dtype=np.int64)
        rest_Sn = parts_Sn - parts_Sn.mean(axis=0)
        left = float((rest_Sn**2).sum()) / (max(seeds - 1, 1) * max(n - 1, 1)) / (seeds * n)
        return _variance(parts_Sn.mean(axis=0), class_n), left
    drawn_RS = resampled(metric, y, predictions)
    if not len(drawn_RS):
        return math.inf, 0.0
    own_S = np.asarray(scores) - np.mean(scores)
    rest_RS = drawn_RS - drawn_RS.mean(axis=1, keepdims=True) - own_S
    left = float((rest_RS**2).sum(axis=1).mean()) / (max(seeds - 1, 1) * seeds)
    return float(drawn_RS.mean(axis=1).var()), left


def resampled(
    metric: type[BaseMetric], y: NDArray[Any], predictions: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """The scores of several predictions for the same rows, on rows that are drawn from them with
    replacement: (draws, predictions). Draws on which the metric is not defined are left out; none
    are returned where those are most.

    The draws are the same at every call with as many rows.

    Source: the bootstrap, B. Efron 1979.
    """
    rng, n = np.random.default_rng(0), len(y)
    drawn = []
    for _ in range(_DRAWS):
        rows = rng.integers(0, n, n)
        drawn.append([float(metric.value(y[rows], p[rows])) for p in predictions])
    drawn_RS = np.asarray(drawn)
    found: NDArray[np.float64] = drawn_RS[np.isfinite(drawn_RS).all(axis=1)]
    return found if len(found) > _DRAWS // 2 else found[:0]


def paired_rows(
    metric: type[BaseMetric],
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    confidence: float = 0.95,
) -> Interval:
    """How much more of a score ``candidate`` has than ``reference`` on the same rows (less, of a
    loss), over other rows like
    these: ``paired_shares`` where rows are right or wrong, else ``mean_over_rows`` of the
    differences of the rows' parts, or else Student's t interval with the deviation of the
    differences on resampled rows.

    The interval never leaves what two scores allow: shares lie in [0, 1], so a gain of one lies in
    [-1, 1]; nearer where one of the two predicts the same for every row, so that its balanced
    accuracy or ROC AUC is the same on all rows.

    Args:
        metric: of the scores.
        y: shape (n,): class indices, or values.
        reference, candidate: probabilities (n, C), or values (n,).
        confidence: in (0, 1).
    """
    found = _paired_rows(metric, y, reference, candidate, confidence)
    return in_range(found, _gain_bounds(metric, y, reference, candidate))


def _gain_bounds(
    metric: type[BaseMetric],
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
) -> tuple[float, float]:
    """The least and the most that the score of ``candidate`` can lie above that of
    ``reference``, on whatever rows.
    """
    low, high = metric.bounds
    if not math.isfinite(high - low):
        return -math.inf, math.inf
    least, most = [low, low], [high, high]
    constant = metric.of_a_constant(y)
    for i, prediction in enumerate((reference, candidate)):
        if constant is not None and np.ptp(prediction, axis=0).max() == 0:
            least[i] = most[i] = constant
    if least == most:  # both are the same on all rows, as far as these tell
        return low - high, high - low
    return least[1] - most[0], most[1] - least[0]


def _paired_rows(
    metric: type[BaseMetric],
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    confidence: float,
) -> Interval:
    n = len(y)
    strata = (
        np.unique(y, return_inverse=True)[1] if metric.by_class else np.zeros(n, dtype=np.int64)
    )
    counts = np.bincount(strata)
    hits = [metric.per_row(y, p) for p in (reference, candidate)] if metric.hits else []
    if hits:
        before, after = (np.asarray(hit) > 0 for hit in hits)
        lost, won = (
            np.bincount(strata[changed], minlength=len(counts))
            for changed in (before & ~after, ~before & after)
        )
        return paired_shares(won, lost, counts, confidence=confidence)
    gain = _score(metric, y, candidate) - _score(metric, y, reference)
    one, two = (metric.row_parts(y, p) for p in (reference, candidate))
    if one is None or two is None:
        return _paired_draws(metric, y, reference, candidate, gain, confidence)
    spread = max(float(one.std()), float(two.std()))
    groups = [
        RowGroup((two - one)[strata == k] + gain, weight=count / n, spread=spread)
        for k, count in enumerate(counts)
    ]
    return mean_over_rows(groups, confidence=confidence)


def _score(metric: type[BaseMetric], y: NDArray[Any], prediction: NDArray[Any]) -> float:
    pairs = metric.pairs(y, prediction)
    return float(metric.value(y, prediction)) if pairs is None else float(pairs.sum()) / 2


def _paired_draws(
    metric: type[BaseMetric],
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    gain: float,
    confidence: float,
) -> Interval:
    n = len(y)
    if n < 2:
        return Interval(gain, -math.inf, math.inf, confidence, n, kind="rows")
    half = drawn_half(resampled(metric, y, [reference, candidate]), n, confidence)
    return Interval(gain, gain - half, gain + half, confidence, n, kind="rows")


def drawn_half(
    drawn_R2: NDArray[np.float64], n: int, confidence: float, times: float = 1.0
) -> float:
    """Half the width of the interval of the difference between two scores, from ``resampled``.

    As in ``mean_over_rows`` it is never narrower than what the share of rows could change that n
    rows cannot exclude: equal predictions leave open what they do on other rows.

    Args:
        drawn_R2: the scores of both.
        n: how many rows there are.
        confidence: in (0, 1).
        times: as if every row had been seen so many times.
    """
    if not len(drawn_R2):
        return math.inf
    many = n * times
    t = float(special.stdtrit(max(many - 1, 1), (1 + confidence) / 2))
    z = float(special.ndtri((1 + confidence) / 2))
    spread = float(drawn_R2.std(axis=0).max()) * math.sqrt(n)  # of a row
    error = float((drawn_R2[:, 1] - drawn_R2[:, 0]).std(ddof=1)) / math.sqrt(times)
    return max(t * error, spread * z**2 / (many + z**2))


def _variance(parts: NDArray[np.float64], class_n: NDArray[Any]) -> float:
    """Of the mean of the parts, whose mean is zero in each class."""
    n = len(parts)
    _, place, counts = np.unique(class_n, return_inverse=True, return_counts=True)
    squares = np.bincount(place, parts**2) * counts / np.maximum(counts - 1, 1)
    return float(squares.sum()) / n**2


def _wilson(mean: float, variance: float, most: float, t: float) -> tuple[float, float]:
    """The score interval of a share that has this variance, from no more than ``most`` rows."""
    spread = mean * (1 - mean)
    rows = min(spread / variance, most) if variance > 0 and spread > 0 else most
    middle = (mean + t * t / (2 * rows)) / (1 + t * t / rows)
    half = t * math.sqrt(max(spread, 0.0) / rows + t * t / (4 * rows * rows)) / (1 + t * t / rows)
    return min(middle - half, mean), max(middle + half, mean)


def _by_class(
    y: NDArray[Any], right: NDArray[np.float64], confidence: float
) -> tuple[float, float]:
    """The ends for the mean of the classes' recalls; ``right`` (n,) is the share of trainings
    that are right of each row.
    """
    z = float(special.ndtri((1 + confidence) / 2))
    means, below, above = [], [], []
    for c in np.unique(y):
        mine = right[y == c]
        recall, variance = (
            float(mine.mean()),
            float(mine.var(ddof=1)) / len(mine) if len(mine) > 1 else 0.0,
        )
        low, high = _wilson(recall, variance, len(mine), z)
        means.append(recall)
        below.append(recall - low)
        above.append(high - recall)
    mean = float(np.mean(means))
    return mean - math.hypot(*below) / len(means), mean + math.hypot(*above) / len(means)
