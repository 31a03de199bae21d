"""Scores on the validation rows, and how much of a score is lost: always paired by row, always
with an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from winnow.compression._rare import Changes, upper_end, when_nothing_is_known
from winnow.errors import ModelError
from winnow.evaluation import classification_metrics, regression_metrics, softmax
from winnow.recipe import HIGHER_IS_BETTER
from winnow.stats import Interval, RowGroup, area_parts, mean_over_rows, paired_shares

__all__ = ["Judge"]

# Of the rows there are: beyond it, saying how many would be enough helps nobody
_MOST_TIMES = 2**20
_IN_UNITS_OF_THE_TARGET = ("rmse", "mae")
_PLACES = (np.arange(64) + 0.5) / 64  # of a score among others, evenly spread


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
            # Of outputs that are not finite; the caller looks at the result
            with np.errstate(invalid="ignore"):
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
            raise ModelError(
                f"{self.metric} is not defined for this {self.task} on these {len(self.y)} rows"
            )
        return found[self.metric]

    def allowed(self, budget: float, reference: float) -> float:
        """The largest drop that ``budget`` accepts, in the metric's unit.

        rmse and mae come in units of the target, where an absolute budget would mean something else
        for every data set: for them it is a share of the reference's score. For the others, whose
        scale is fixed, it is the drop itself.
        """
        return budget * abs(reference) if self.metric in _IN_UNITS_OF_THE_TARGET else budget

    def drop(self, reference: np.ndarray, candidate: np.ndarray, *, times: float = 1.0) -> Interval:
        """How much worse ``candidate`` is than ``reference``, in the metric's unit; above 0 is
        worse, also for errors.

        Accuracy and balanced accuracy: ``stats.paired_shares``, exact enough also where nothing
        changed. All others are functions of means over rows, so the interval is
        ``stats.mean_over_rows`` of what each row adds to the difference (its influence): exactly
        for the log loss and ROC AUC, by the delta method for r2, and for rmse and mae, whose budget
        is a share, on the logarithm of their ratio. Such a mean may be moved by rare rows that lose
        much, of which few or none were seen: the upper end is the higher of that one and of
        ``upper_end``, which counts them.

        Args:
            reference, candidate: predictions of the same rows.
            times: as if every row had been seen so many times.
        """
        if self.metric in ("accuracy", "balanced_accuracy"):
            return self._shares(reference, candidate, times)
        if self.metric == "roc_auc":
            return self._areas(reference, candidate, times)
        if self.metric == "log_loss":
            return self._log_loss(reference, candidate, times)
        if self.metric == "r2":
            return self._variance_left(reference, candidate, times)
        return self._ratio(reference, candidate, times)

    def rows_needed(
        self, reference: np.ndarray, candidate: np.ndarray, allowed: float
    ) -> int | None:
        """About how many rows would show that the loss is at most ``allowed``, if it stays what
        it is; None: no number would.
        """
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
        strata = (
            self.y if self.metric == "balanced_accuracy" else np.zeros(len(self.y), dtype=np.int64)
        )
        rows = np.bincount(strata)
        lost, won = (
            np.bincount(strata[changed], minlength=len(rows))
            for changed in (before & ~after, ~before & after)
        )
        some = rows > 0
        return paired_shares(
            lost[some], won[some], rows[some], confidence=self.confidence, times=times
        )

    def _over_rows(self, groups: list[RowGroup], changes: list[Changes], times: float) -> Interval:
        found = mean_over_rows(groups, confidence=self.confidence, times=times)
        high = upper_end(found.mean, changes, confidence=self.confidence, times=times)
        return replace(found, high=max(found.high, high))

    def _log_loss(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        n = len(self.y)

        def losses(predictions: np.ndarray) -> np.ndarray:
            tiny = np.finfo(predictions.dtype).eps  # as scikit-learn clips
            return -np.log(np.clip(predictions, tiny, 1.0)).astype(np.float64)

        before, after = losses(reference), losses(candidate)[np.arange(n), self.y]
        ignorant = when_nothing_is_known(lambda rows: before[rows, self.y], n)
        before = before[np.arange(n), self.y]
        return self._over_rows(
            [RowGroup(after - before, spread=before.std())],
            [Changes(after - before, ignorant)],
            times,
        )

    def _areas(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """DeLong's placements: each pair of rows is in the parts of both, so the parts add up
        to twice the difference.
        """
        before, after, best = (
            area_parts(self.y, p)
            for p in (reference, candidate, _perfect(self.y, reference.shape[1]))
        )
        drop, classes = float((before - after).sum()) / 2, np.unique(self.y)
        groups, changes = [], []
        for c in classes:
            mine = self.y == c
            n = mine.sum()
            lost = n * (before - after)[mine]
            groups.append(
                RowGroup(lost - lost.mean() + drop / len(classes), spread=n * before[mine].std())
            )
            # a score that knows nothing of its row stands anywhere among the others
            anywhere = n * (before[mine, None] - best[mine, None] * _PLACES)
            changes.append(Changes(lost, anywhere.ravel()))
        return self._over_rows(groups, changes, times)

    def _errors(self, predictions: np.ndarray, power: int) -> np.ndarray:
        return np.abs(predictions - self.y) ** power

    def _as_share(
        self,
        before: np.ndarray,
        after: np.ndarray,
        reference: np.ndarray,
        power: int,
        of: np.ndarray,
    ) -> Changes:
        """What the rows add to the ratio of mean (after - before) to mean ``of``."""
        whole = max(float(of.mean()), np.finfo(np.float64).tiny)
        ratio = (after - before).mean() / whole
        ignorant = when_nothing_is_known(
            lambda rows: self._errors(reference[rows], power), len(self.y)
        )
        return Changes((after - before) / whole, ignorant / whole, slope=-ratio * (of / whole - 1))

    def _variance_left(
        self, reference: np.ndarray, candidate: np.ndarray, times: float
    ) -> Interval:
        """The difference of r2 is that of two shares of the variance."""
        before, after = self._errors(reference, 2), self._errors(candidate, 2)
        squares = (self.y - self.y.mean()) ** 2
        changes = self._as_share(before, after, reference, 2, of=squares)
        variance = max(squares.mean(), np.finfo(np.float64).tiny)
        return self._over_rows(
            [RowGroup(changes.rows + changes.slope, spread=before.std() / variance)],
            [changes],
            times,
        )

    def _ratio(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """rmse and mae: the interval of the logarithm of their ratio, as a difference from the
        reference.
        """
        power = 2 if self.metric == "rmse" else 1
        before, after = self._errors(reference, power), self._errors(candidate, power)
        score, drop = (
            before.mean() ** (1 / power),
            float(after.mean() ** (1 / power) - before.mean() ** (1 / power)),
        )
        if min(before.mean(), after.mean()) <= 0:
            return Interval(drop, -math.inf, math.inf, self.confidence, len(self.y), kind="rows")
        each = (after / after.mean() - before / before.mean()) / power
        spread = (before / before.mean()).std() / power
        ratio = math.log(after.mean() / before.mean()) / power
        found = mean_over_rows(
            [RowGroup(each + ratio, spread=spread)], confidence=self.confidence, times=times
        )
        changes = self._as_share(before, after, reference, power, of=before)
        rise = upper_end(
            float(changes.rows.mean()), [changes], confidence=self.confidence, times=times
        )
        low, high = (
            float(score * np.expm1(end))
            for end in (found.low, max(found.high, math.log1p(rise) / power))
        )
        return replace(found, mean=drop, low=low, high=high)

    @property
    def higher_is_better(self) -> bool:
        return HIGHER_IS_BETTER[self.metric]


def _perfect(y: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) Probabilities that are always right."""
    return np.eye(classes)[y]
