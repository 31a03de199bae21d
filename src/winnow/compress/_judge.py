"""Scores on the validation rows, and how much of a score is lost: always paired by row, always with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from winnow.errors import ModelError
from winnow.evaluate import classification_metrics, regression_metrics, softmax
from winnow.recipe import HIGHER_IS_BETTER
from winnow.stats import Interval, RowGroup, area_parts, mean_over_rows, paired_shares

__all__ = ["Judge"]

_MOST_TIMES = 2**20  # of the rows there are: beyond it, saying how many would be enough helps nobody
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

    def drop(self, reference: np.ndarray, candidate: np.ndarray, *, times: float = 1.0) -> Interval:
        """How much worse ``candidate`` is than ``reference``, in the metric's unit; above 0 is worse, also for errors.

        Accuracy and balanced accuracy: ``stats.paired_shares``. All others are functions of means over rows, so the interval is
        ``stats.mean_over_rows`` of what each row adds to the difference (its influence): exactly for the log loss and ROC AUC,
        by the delta method for r2, and for rmse and mae, whose budget is a share, on the logarithm of their ratio.

        Args:
            reference, candidate: predictions of the same rows.
            times: as if every row had been seen so many times.
        """
        if self.metric in ("accuracy", "balanced_accuracy"):
            return self._shares(reference, candidate, times)
        if self.metric == "log_loss":
            before, after = self._losses(reference), self._losses(candidate)
            return self._over_rows([RowGroup(after - before, spread=before.std())], times)
        if self.metric == "roc_auc":
            return self._over_rows(self._areas(reference, candidate), times)
        if self.metric == "r2":
            return self._over_rows([self._variance_left(reference, candidate)], times)
        return self._ratio(reference, candidate, times)

    def rows_needed(self, reference: np.ndarray, candidate: np.ndarray, allowed: float) -> int | None:
        """About how many rows would show that the loss is at most ``allowed``, if it stays what it is; None: no number would."""
        if self.drop(reference, candidate).mean >= allowed:
            return None
        too_few, enough = 1.0, 2.0
        while self.drop(reference, candidate, times=enough).high > allowed:
            too_few, enough = enough, 2 * enough
            if enough > _MOST_TIMES:
                return None
        while enough - too_few > 0.01 * enough:
            middle = (too_few + enough) / 2
            if self.drop(reference, candidate, times=middle).high > allowed:
                too_few = middle
            else:
                enough = middle
        return math.ceil(enough * len(self.y))

    def _shares(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        before, after = (p.argmax(axis=1) == self.y for p in (reference, candidate))
        strata = self.y if self.metric == "balanced_accuracy" else np.zeros(len(self.y), dtype=np.int64)
        rows = np.bincount(strata)
        lost, won = (np.bincount(strata[changed], minlength=len(rows)) for changed in (before & ~after, ~before & after))
        some = rows > 0
        return paired_shares(lost[some], won[some], rows[some], confidence=self.confidence, times=times)

    def _over_rows(self, groups: list[RowGroup], times: float) -> Interval:
        return mean_over_rows(groups, confidence=self.confidence, times=times)

    def _losses(self, predictions: np.ndarray) -> np.ndarray:
        """(n,) The log loss of each row."""
        tiny = np.finfo(predictions.dtype).eps  # as scikit-learn clips
        return -np.log(np.clip(predictions[np.arange(len(self.y)), self.y], tiny, 1.0))

    def _areas(self, reference: np.ndarray, candidate: np.ndarray) -> list[RowGroup]:
        """DeLong's placements: each pair of rows is in the parts of both, so the parts add up to twice the difference."""
        before, after = area_parts(self.y, reference), area_parts(self.y, candidate)
        drop, classes = float((before - after).sum()) / 2, np.unique(self.y)
        groups = []
        for c in classes:
            mine = self.y == c
            lost = mine.sum() * (before - after)[mine]
            groups.append(RowGroup(lost - lost.mean() + drop / len(classes), spread=mine.sum() * before[mine].std()))
        return groups

    def _variance_left(self, reference: np.ndarray, candidate: np.ndarray) -> RowGroup:
        """What each row adds to the difference of r2, which is that of two shares of the variance."""
        before, after = (reference - self.y) ** 2, (candidate - self.y) ** 2
        squares = (self.y - self.y.mean()) ** 2
        variance = max(squares.mean(), np.finfo(np.float64).tiny)
        drop = (after - before).mean() / variance
        return RowGroup((after - before) / variance - drop * (squares / variance - 1), spread=before.std() / variance)

    def _ratio(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """rmse and mae: the interval of the logarithm of their ratio, as a difference from the reference."""
        power = 2 if self.metric == "rmse" else 1
        before, after = (np.abs(p - self.y) ** power for p in (reference, candidate))
        score, drop = before.mean() ** (1 / power), float(after.mean() ** (1 / power) - before.mean() ** (1 / power))
        if min(before.mean(), after.mean()) <= 0:
            return Interval(drop, -math.inf, math.inf, self.confidence, len(self.y), kind="rows")
        each = (after / after.mean() - before / before.mean()) / power
        spread = (before / before.mean()).std() / power
        ratio = math.log(after.mean() / before.mean()) / power
        found = self._over_rows([RowGroup(each + ratio, spread=spread)], times)
        low, high = (float(score * np.expm1(end)) for end in (found.low, found.high))
        return replace(found, mean=drop, low=low, high=high)

    @property
    def higher_is_better(self) -> bool:
        return HIGHER_IS_BETTER[self.metric]
