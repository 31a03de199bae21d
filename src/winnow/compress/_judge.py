"""Scores on the validation rows, and how much of a score is lost: always paired by row, always with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from winnow.errors import ModelError
from winnow.evaluate import classification_metrics, regression_metrics, softmax
from winnow.recipe import HIGHER_IS_BETTER
from winnow.stats import Interval, area_parts, largest_parts, t_interval

__all__ = ["Judge", "paired_area", "paired_share"]

_RESAMPLES = 2000
_IN_UNITS_OF_THE_TARGET = ("rmse", "mae")


@dataclass(frozen=True)
class Judge:
    """Scores predictions for the same rows.

    Attributes:
        metric: what counts.
        task: classification or regression.
        y: (n,) class indices, or targets in their own units.
        decode: raw outputs (n, 1) to the target's units (regression).
        confidence: of the intervals, in (0, 1).
    """

    metric: str
    task: Literal["classification", "regression"]
    y: np.ndarray
    decode: Callable[[np.ndarray], np.ndarray]
    confidence: float = 0.95

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """(n, C) probabilities or (n,) numbers of a model's raw outputs (n, ...)."""
        rows = outputs.reshape(len(outputs), -1)
        if self.task == "classification":
            with np.errstate(invalid="ignore"):  # of outputs that are not finite; the caller looks at the result
                return softmax(rows)
        return np.asarray(self.decode(rows.astype(np.float64)), dtype=np.float64).reshape(-1)

    def score(self, predictions: np.ndarray) -> float:
        """The metric of finite predictions.

        Raises:
            ModelError: the metric is not one of the task, or not defined on these rows.
        """
        measure = classification_metrics if self.task == "classification" else regression_metrics
        found = measure(self.y, predictions)
        if self.metric not in found:
            raise ModelError(f"{self.metric} is not defined for this {self.task} on these {len(self.y)} rows")
        return found[self.metric]

    def allowed(self, budget: float, reference: float) -> float:
        """The largest drop that ``budget`` accepts, in the metric's unit.

        rmse and mae come in units of the target, where an absolute budget would mean something else for every data set: for them
        it is a share of the reference's score. For the others, whose scale is fixed, it is the drop itself.
        """
        return budget * abs(reference) if self.metric in _IN_UNITS_OF_THE_TARGET else budget

    def drop(self, reference: np.ndarray, candidate: np.ndarray) -> Interval:
        """How much worse ``candidate`` is than ``reference``, in the metric's unit; above 0 is worse, also for errors.

        Accuracy and balanced accuracy: ``paired_share``. ROC AUC: ``paired_area``. Log loss and mae are means over rows: t
        interval of paired differences. rmse and r2: percentile bootstrap over rows, seeded (``scipy.stats.bootstrap``).
        """
        if self.metric in ("accuracy", "balanced_accuracy"):
            right = [p.argmax(axis=1) == self.y for p in (reference, candidate)]
            strata = self.y if self.metric == "balanced_accuracy" else np.zeros(len(self.y), dtype=np.int64)
            return paired_share(right[0], right[1], strata, confidence=self.confidence)
        if self.metric == "roc_auc":
            return paired_area(reference, candidate, self.y, confidence=self.confidence)
        if self.metric in ("log_loss", "mae"):
            return t_interval(self._losses(candidate) - self._losses(reference), self.confidence)
        return self._bootstrap(reference, candidate)

    def _losses(self, predictions: np.ndarray) -> np.ndarray:
        """(n,) The loss of each row, whose mean is the metric."""
        if self.metric == "mae":
            return np.abs(predictions - self.y)
        tiny = np.finfo(predictions.dtype).eps  # as scikit-learn clips
        return -np.log(np.clip(predictions[np.arange(len(self.y)), self.y], tiny, 1.0))

    def _bootstrap(self, reference: np.ndarray, candidate: np.ndarray) -> Interval:
        from scipy.stats import bootstrap

        n, drop = len(self.y), self._drop_of_squares(self.y, (reference - self.y) ** 2, (candidate - self.y) ** 2)
        if n < 2:
            return Interval(float(drop), -math.inf, math.inf, self.confidence, n, kind="bootstrap")
        found = bootstrap(
            (self.y, (reference - self.y) ** 2, (candidate - self.y) ** 2),
            self._drop_of_squares,
            n_resamples=_RESAMPLES,
            batch=100,
            vectorized=True,
            paired=True,
            confidence_level=self.confidence,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return Interval(float(drop), float(found.low), float(found.high), self.confidence, n, kind="bootstrap")

    def _drop_of_squares(self, y: np.ndarray, reference: np.ndarray, candidate: np.ndarray, axis: int = -1) -> np.ndarray:
        """The drop from targets and squared errors (..., n)."""
        before, after = reference.mean(axis=axis), candidate.mean(axis=axis)
        if self.metric == "rmse":
            return np.sqrt(after) - np.sqrt(before)
        return (after - before) / np.maximum(y.var(axis=axis), np.finfo(np.float64).tiny)  # r2

    @property
    def higher_is_better(self) -> bool:
        return HIGHER_IS_BETTER[self.metric]


def paired_share(reference: np.ndarray, candidate: np.ndarray, strata: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """How much smaller the share of right answers of ``candidate`` is than that of ``reference``: mean over strata.

    It stays honest where the two never differ: no change on 50 rows does not exclude a change on the 51st, while a t interval
    would have no width.

    Args:
        reference: (n,) whether each answer is right.
        candidate: (n,) likewise, the same rows.
        strata: (n,) group of each row; all alike for accuracy, the class for balanced accuracy.
        confidence: in (0, 1).

    Source: Agresti and Min 2005, "Simple improved confidence intervals for comparing matched proportions" (Wald with half a pair
    added to each cell); strata put together by MOVER (Zou and Donner 2008).
    """
    z = float(special.ndtri((1 + confidence) / 2))
    means, below, above = [], [], []
    for stratum in np.unique(strata):
        inside = strata == stratum
        lost = int((reference & ~candidate & inside).sum())
        won = int((~reference & candidate & inside).sum())
        n = int(inside.sum())
        mean = (lost - won) / n
        middle = (lost - won) / (n + 2)
        half = z * math.sqrt((lost + won + 1) - (lost - won) ** 2 / (n + 2)) / (n + 2)
        means.append(mean)
        below.append(mean - max(-1.0, middle - half))
        above.append(min(1.0, middle + half) - mean)
    mean, groups = float(np.mean(means)), len(means)
    low, high = (mean + sign * math.hypot(*side) / groups for sign, side in ((-1, below), (1, above)))
    return Interval(mean, low, high, confidence, len(reference), kind="paired shares")


def paired_area(reference: np.ndarray, candidate: np.ndarray, y: np.ndarray, *, confidence: float = 0.95) -> Interval:
    """How much smaller the area under the ROC curve of ``candidate`` is than that of ``reference``.

    Equal rankings on few rows do not exclude others on the next, so to each class a row is added that moved past a tenth of
    the others: simulations cover the truth with that, and far less often without where the two models are much alike.

    Args:
        reference: (n, C) probabilities.
        candidate: (n, C) likewise, for the same rows.
        y: (n,) class indices, two different ones at least.
        confidence: in (0, 1).

    Source: DeLong, DeLong and Clarke-Pearson 1988, "Comparing the areas under two or more correlated receiver operating
    characteristic curves"; Student's t with the rows of the rarest class in place of the normal.
    """
    parts = area_parts(y, reference) - area_parts(y, candidate)
    _, class_n, counts = np.unique(y, return_inverse=True, return_counts=True)
    means = np.bincount(class_n, parts) / counts
    squares = np.bincount(class_n, (parts - means[class_n]) ** 2)
    moved = 0.1 * largest_parts(y, reference.shape[1])
    variance = float((counts / np.maximum(counts - 1, 1) * squares + moved**2).sum())
    half = float(special.stdtrit(max(int(counts.min()) - 1, 1), (1 + confidence) / 2)) * math.sqrt(variance)
    drop = float(parts.sum()) / 2
    return Interval(drop, max(-1.0, drop - half), min(1.0, drop + half), confidence, len(y), kind="paired areas")
