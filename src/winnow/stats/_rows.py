"""Scores on test rows: the rows are a sample of those to come, so an interval covers them as well
as the seeds.

Every score is treated as a mean over rows, to first order: ``row_parts`` gives what each row adds
to it (its influence values).
Axes: S trainings (seeds), n rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from winnow.stats._interval import Interval, in_range
from winnow.stats._row_means import RowGroup, mean_over_rows, paired_shares

__all__ = ["FEW_ROWS", "area_parts", "paired_rows", "row_parts", "rows_interval"]

# Their parts have no mean of zero class by class
UNBOUNDED = ("log_loss", "mae", "mse", "rmse", "r2")
FEW_ROWS = 50  # fewer test rows than this are warned of
SHARES = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc")
_UP_TO_ONE, _LOSSES = (0.0, 1.0), (0.0, math.inf)


def rows_interval(
    metric: str,
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

    A share (accuracy, balanced accuracy, macro F1, ROC AUC) gets Wilson's interval for as many rows
    as would give its variance,
    but no more than there are: of balanced accuracy class by class. A loss gets Student's t
    interval of its logarithm, R2 that of the logarithm of what it leaves unexplained. So no end
    lies beyond what a score can be, and none has no width.

    Args:
        metric: as evaluation names them.
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
    parts_Sn = np.stack([row_parts(metric, y, p) for p in predictions])
    mean = float(np.mean(scores))
    class_n = y if metric in SHARES and metric != "accuracy" else np.zeros(n, dtype=np.int64)
    of_rows = _variance(parts_Sn.mean(axis=0), class_n)
    of_seeds, left = 0.0, 0.0
    if seeds > 1:
        of_seeds = float(np.var(scores, ddof=1)) / seeds
        rest_Sn = parts_Sn - parts_Sn.mean(axis=0)
        left = float((rest_Sn**2).sum()) / ((seeds - 1) * max(n - 1, 1)) / (seeds * n)
    variance = max(of_rows + of_seeds - left, of_rows, of_seeds)
    independent = (
        n
        if metric == "accuracy" or metric not in SHARES
        else 2 * int(np.unique(y, return_counts=True)[1].min())
    ) - 1
    sizes = of_rows**2 / max(independent, 1) + of_seeds**2 / max(seeds - 1, 1)
    freedom = (of_rows + of_seeds) ** 2 / sizes if sizes > 0 else max(independent, 1)
    t = float(special.stdtrit(max(freedom, 1.0), (1 + confidence) / 2))
    bounds = _UP_TO_ONE
    if metric == "balanced_accuracy":
        low, high = _by_class(
            y, np.mean([p.argmax(axis=1) == y for p in predictions], axis=0), confidence
        )
        beyond = math.sqrt(max(variance - of_rows, 0.0)) * t
        low, high = mean - math.hypot(mean - low, beyond), mean + math.hypot(high - mean, beyond)
    elif metric in SHARES:
        low, high = _wilson(mean, variance, _most_rows(metric, y, predictions[0]), t)
    else:
        bounds = (-math.inf, 1.0) if metric == "r2" else _LOSSES
        loss = 1 - mean if metric == "r2" else mean
        factor = math.exp(min(t * math.sqrt(variance) / loss, 700.0)) if loss > 0 else 1.0
        low, high = loss / factor, loss * factor
        if metric == "r2":
            low, high = 1 - high, 1 - low
    found = Interval(mean, low, high, confidence, seeds, kind="rows and seeds")
    return in_range(found, bounds, rows=n, over="rows")


def row_parts(metric: str, y: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.float64]:
    """What each row adds to a score, shape (n,), with a mean of zero: the mean over other rows is
    by how much, to first order, their score differs from this one.

    Args:
        metric: as evaluation names them.
        y: shape (n,): class indices, or values.
        prediction: probabilities (n, C), or values (n,).

    Raises:
        ValueError: for a metric that is not known.

    Source: influence values, for instance A. C. Davison and D. V. Hinkley 1997, "Bootstrap methods
    and their application", 2.7.
    """
    n = len(y)
    if metric == "accuracy":
        return _centered(prediction.argmax(axis=1) == y)
    if metric == "log_loss":
        tiny = np.finfo(np.float64).eps  # as scikit-learn clips
        return _centered(-np.log(np.clip(prediction[np.arange(n), y], tiny, 1.0)))
    if metric == "balanced_accuracy":
        right, (classes, class_n, counts) = (
            prediction.argmax(axis=1) == y,
            np.unique(y, return_inverse=True, return_counts=True),
        )
        recall = np.bincount(class_n, right) / counts
        return n * (right - recall[class_n]) / counts[class_n] / len(classes)
    if metric == "macro_f1":
        predicted = prediction.argmax(axis=1)
        present = np.union1d(y, predicted)
        parts = np.zeros(n)
        for c in present:
            hits, either = (
                2.0 * ((y == c) & (predicted == c)),
                (y == c).astype(float) + (predicted == c),
            )
            parts += n * (hits - hits.sum() / either.sum() * either) / either.sum() / len(present)
        return parts
    if metric == "roc_auc":
        parts, class_n = area_parts(y, prediction), np.unique(y, return_inverse=True)[1]
        return n * (parts - (np.bincount(class_n, parts) / np.bincount(class_n))[class_n])
    error = np.asarray(prediction - y, dtype=np.float64)
    if metric == "mae":
        return _centered(np.abs(error))
    squares = _centered(error**2)
    if metric == "mse":
        return squares
    mse = float((error**2).mean())
    if metric == "rmse":
        return squares / (2 * math.sqrt(mse)) if mse > 0 else squares
    if metric == "r2":
        spread = float(np.var(y))
        return -squares / spread + mse * _centered((y - y.mean()) ** 2) / spread**2
    raise ValueError(f"expected a metric that is known here, got {metric!r}")


def paired_rows(
    metric: str,
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    *,
    confidence: float = 0.95,
) -> Interval:
    """How much more of a score ``candidate`` has than ``reference`` on the same rows (less, of a
    loss), over other rows like
    these: ``paired_shares`` for accuracy and balanced accuracy, else ``mean_over_rows`` of the
    differences of the rows' parts.

    The interval never leaves what two scores allow: shares lie in [0, 1], so a gain of one lies in
    [-1, 1]; nearer where one of the two predicts the same for every row, so that its balanced
    accuracy or ROC AUC is the same on all rows.

    Args:
        metric: as evaluation names them.
        y: shape (n,): class indices, or values.
        reference, candidate: probabilities (n, C), or values (n,).
        confidence: in (0, 1).
    """
    found = _paired_rows(metric, y, reference, candidate, confidence)
    return in_range(found, _gain_bounds(metric, y, reference, candidate))


def _gain_bounds(
    metric: str, y: NDArray[Any], reference: NDArray[Any], candidate: NDArray[Any]
) -> tuple[float, float]:
    """The least and the most that the score of ``candidate`` can lie above that of
    ``reference``, on whatever rows.
    """
    if metric not in SHARES:
        return -math.inf, math.inf
    least, most = [0.0, 0.0], [1.0, 1.0]
    fixed = {"roc_auc": 0.5, "balanced_accuracy": 1 / len(np.unique(y))}
    for i, prediction in enumerate((reference, candidate)):
        if metric in fixed and np.ptp(prediction, axis=0).max() == 0:
            least[i] = most[i] = fixed[metric]
    if least == most:  # both are the same on all rows, as far as these tell
        return -1.0, 1.0
    return least[1] - most[0], most[1] - least[0]


def _paired_rows(
    metric: str,
    y: NDArray[Any],
    reference: NDArray[Any],
    candidate: NDArray[Any],
    confidence: float,
) -> Interval:
    n = len(y)
    strata = (
        np.zeros(n, dtype=np.int64)
        if metric in ("accuracy", *UNBOUNDED)
        else np.unique(y, return_inverse=True)[1]
    )
    counts = np.bincount(strata)
    if metric in ("accuracy", "balanced_accuracy"):
        before, after = (p.argmax(axis=1) == y for p in (reference, candidate))
        lost, won = (
            np.bincount(strata[changed], minlength=len(counts))
            for changed in (before & ~after, ~before & after)
        )
        return paired_shares(won, lost, counts, confidence=confidence)
    parts = [row_parts(metric, y, p) for p in (reference, candidate)]
    gain = _score(metric, y, candidate) - _score(metric, y, reference)
    spread = max(float(part.std()) for part in parts)
    groups = [
        RowGroup((parts[1] - parts[0])[strata == k] + gain, weight=count / n, spread=spread)
        for k, count in enumerate(counts)
    ]
    return mean_over_rows(groups, confidence=confidence)


def _score(metric: str, y: NDArray[Any], prediction: NDArray[Any]) -> float:
    """The metric of predictions that are not right or wrong: what `paired_rows` needs of both
    models.
    """
    if metric == "roc_auc":
        return float(area_parts(y, prediction).sum()) / 2
    if metric == "log_loss":
        return float(
            -np.log(np.clip(prediction[np.arange(len(y)), y], np.finfo(np.float64).eps, 1.0)).mean()
        )
    if metric == "macro_f1":
        predicted = prediction.argmax(axis=1)
        shares = [
            2 * ((y == c) & (predicted == c)).sum() / ((y == c).sum() + (predicted == c).sum())
            for c in np.union1d(y, predicted)
        ]
        return float(np.mean(shares))
    error = np.asarray(prediction - y, dtype=np.float64)
    if metric == "mae":
        return float(np.abs(error).mean())
    mse = float((error**2).mean())
    return {
        "mse": mse,
        "rmse": math.sqrt(mse),
        "r2": 1 - mse / max(float(np.var(y)), np.finfo(np.float64).tiny),
    }[metric]


def _centered(values: NDArray[Any]) -> NDArray[np.float64]:
    values = np.asarray(values, dtype=np.float64)
    centered: NDArray[np.float64] = values - values.mean()
    return centered


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


def _most_rows(metric: str, y: NDArray[Any], prediction: NDArray[Any]) -> float:
    """How many rows a share can stand for at the most, where every class has its own."""
    counts = np.unique(y, return_counts=True)[1]
    if metric == "accuracy":
        return len(y)
    if metric == "roc_auc":
        pairs = counts * (len(y) - counts)
        of_class = pairs / (1 + (len(y) / 2 - 1) / 2)
        of_class = of_class[:1] if prediction.shape[1] == 2 else of_class
        return float(len(of_class) ** 2 / (1 / of_class).sum())
    return float(len(counts) ** 2 / (1 / counts).sum())


def area_parts(y: NDArray[Any], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each row contributes to the area under the ROC curve, shape (rows,); the sum is twice
    the area.

    A row of a class is placed by the share of the others that it lies above (equal counts half),
    one of another class by the share of the class that lies above it; both divided by the number of
    rows of their kind. Every pair is in two rows' parts.
    For more than two classes: of each class in ``y`` against the rest, the mean.

    Args:
        y: class indices, shape (rows,), two different ones at least.
        probabilities: shape (rows, classes).

    Source: the placements of DeLong, DeLong and Clarke-Pearson 1988, by ranks.
    """
    y = np.asarray(y)
    classes = [1] if probabilities.shape[1] == 2 else np.unique(y).tolist()
    parts = np.zeros(len(y))
    for c in classes:
        inside, score = y == c, np.asarray(probabilities[:, c], dtype=np.float64)
        ranks = stats.rankdata(score)
        counts = int(inside.sum()), int((~inside).sum())
        for mine, others, sign in ((inside, counts[1], 1.0), (~inside, counts[0], -1.0)):
            below = ranks[mine] - stats.rankdata(score[mine])  # rows of the other kind below each
            share = below / others if sign > 0 else 1 - below / others
            parts[mine] += share / (int(mine.sum()) * len(classes))
    return parts
