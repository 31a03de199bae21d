"""Scores on the validation rows, and how much of a score is lost: always paired by row, always
with an interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from winnow.compression._rare import Changes, upper_end, when_nothing_is_known
from winnow.data import softmax
from winnow.errors import ModelError
from winnow.metrics import BaseMetric
from winnow.recipe import metric_of
from winnow.stats import (
    Interval,
    RowGroup,
    drawn_half,
    mean_over_rows,
    paired_shares,
    resampled,
)

__all__ = ["Judge"]

# Of the rows there are: beyond it, saying how many would be enough helps nobody
_MOST_TIMES = 2**20
_DAMAGES = 32  # draws of rows that get another row's answer
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
    _last: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        measured = self._metric.task == self.task
        found = self._metric.value(self.y, predictions) if measured else math.nan
        if math.isnan(found):
            raise ModelError(
                f"{self.metric} is not defined for this {self.task} on these {len(self.y)} rows"
            )
        return float(found)

    def allowed(self, budget: float, reference: float) -> float:
        """The largest drop that ``budget`` accepts, in the metric's unit.

        In units of the target, as rmse and mae are, an absolute budget would mean something else
        for every data set: there it is a share of the reference's score. For the others, whose
        scale is fixed, it is the drop itself.
        """
        return budget * abs(reference) if self._metric.in_target_units else budget

    def drop(self, reference: np.ndarray, candidate: np.ndarray, *, times: float = 1.0) -> Interval:
        """How much worse ``candidate`` is than ``reference``, in the metric's unit; above 0 is
        worse, also for errors.

        Where rows are right or wrong: ``stats.paired_shares``, exact enough also where nothing
        changed. Of functions of means over rows, the interval is ``stats.mean_over_rows`` of what
        each row adds to the difference (its influence): exactly for a mean over rows or pairs of
        rows, by the delta method for what is relative to a constant, as r2 is, and for what is in
        units of the target, whose budget is a share, on the logarithm of the ratio. All others are
        measured again on resampled rows. Rare rows may lose much, of which few or none were seen:
        the upper end allows for them, too.

        Args:
            reference, candidate: predictions of the same rows.
            times: as if every row had been seen so many times.
        """
        rows = self._metric.per_row(self.y, reference)
        if self._metric.hits:
            return self._shares(reference, candidate, times)
        if self._metric.pairs(self.y, reference) is not None:
            return self._pairs(reference, candidate, times)
        if rows is None or self._metric.by_class:
            return self._drawn(reference, candidate, times)
        if self._metric.relative_to(self.y) is not None:
            return self._relative(reference, candidate, times)
        if self._metric.in_target_units:
            return self._ratio(reference, candidate, times)
        if self._metric.root == 1:
            return self._mean(reference, candidate, times)
        return self._drawn(reference, candidate, times)

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
        before, after = (self._rows(p) > 0 for p in (reference, candidate))
        strata = self.y if self._metric.by_class else np.zeros(len(self.y), dtype=np.int64)
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

    def _mean(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        sign = -1.0 if self.higher_is_better else 1.0
        before, after = sign * self._rows(reference), sign * self._rows(candidate)
        ignorant = when_nothing_is_known(
            lambda rows: sign * self._rows(reference[rows]), len(self.y)
        )
        return self._over_rows(
            [RowGroup(after - before, spread=before.std())],
            [Changes(after - before, ignorant)],
            times,
        )

    def _pairs(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """DeLong's placements: each pair of rows is in the parts of both, so the parts add up
        to twice the difference.
        """
        before, after, best = (
            self._placed(p) for p in (reference, candidate, _perfect(self.y, reference.shape[1]))
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

    def _rows(self, predictions: np.ndarray) -> np.ndarray:
        rows = self._metric.per_row(self.y, predictions)
        assert rows is not None
        return rows

    def _placed(self, predictions: np.ndarray) -> np.ndarray:
        pairs = self._metric.pairs(self.y, predictions)
        assert pairs is not None
        return pairs

    def _as_share(
        self,
        before: np.ndarray,
        after: np.ndarray,
        reference: np.ndarray,
        of: np.ndarray,
    ) -> Changes:
        """What the rows add to the ratio of mean (after - before) to mean ``of``."""
        whole = max(float(of.mean()), np.finfo(np.float64).tiny)
        ratio = (after - before).mean() / whole
        ignorant = when_nothing_is_known(lambda rows: self._rows(reference[rows]), len(self.y))
        return Changes((after - before) / whole, ignorant / whole, slope=-ratio * (of / whole - 1))

    def _relative(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """The difference of r2 is that of two shares of the variance."""
        before, after = self._rows(reference), self._rows(candidate)
        squares = self._metric.relative_to(self.y)
        assert squares is not None
        changes = self._as_share(before, after, reference, of=squares)
        variance = max(squares.mean(), np.finfo(np.float64).tiny)
        return self._over_rows(
            [RowGroup(changes.rows + changes.slope, spread=before.std() / variance)],
            [changes],
            times,
        )

    def _ratio(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """The interval of the logarithm of the ratio of two scores, as a difference from the
        reference.
        """
        power = self._metric.root
        before, after = self._rows(reference), self._rows(candidate)
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
        changes = self._as_share(before, after, reference, of=before)
        rise = upper_end(
            float(changes.rows.mean()), [changes], confidence=self.confidence, times=times
        )
        low, high = (
            float(score * np.expm1(end))
            for end in (found.low, max(found.high, math.log1p(rise) / power))
        )
        return replace(found, mean=drop, low=low, high=high)

    def _drawn(self, reference: np.ndarray, candidate: np.ndarray, times: float) -> Interval:
        """Of any metric: on resampled rows, and, for rows that were not seen, on these rows where
        as many as n rows cannot exclude get another row's answer.
        """
        n, alpha = len(self.y), (1 - self.confidence) / 2
        if n < 2:
            drop = self._lost(reference, candidate)
            return Interval(drop, -math.inf, math.inf, self.confidence, n, kind="rows")
        drop, drawn_R2, damage = self._draws(reference, candidate)
        half = drawn_half(drawn_R2, n, self.confidence, times)
        # to first order as much as there are more or fewer of such rows than in `damage`
        unseen = damage * (1 - alpha ** (1 / (n * times))) / (1 - alpha ** (1 / n))
        return Interval(
            drop, drop - half, drop + half + max(unseen, 0.0), self.confidence, n, kind="rows"
        )

    def _draws(
        self, reference: np.ndarray, candidate: np.ndarray
    ) -> tuple[float, np.ndarray, float]:
        """The drop, the scores of both on resampled rows, and what rows that were not seen may add;
        kept for the last pair that was asked for, since they do not depend on ``times``.
        """
        kept = self._last.get("draws")
        if kept is None or kept[0] is not reference or kept[1] is not candidate:
            n, alpha = len(self.y), (1 - self.confidence) / 2
            hit = min(n, max(1, math.ceil(n * (1 - alpha ** (1 / n)))))
            rng, drop = np.random.default_rng(0), self._lost(reference, candidate)
            damages = []
            for _ in range(_DAMAGES):
                worse = candidate.copy()
                rows = rng.permutation(n)[:hit]
                worse[rows] = candidate[(rows + rng.integers(1, n)) % n]
                damages.append(self._lost(reference, worse) - drop)
            drawn_R2 = resampled(self._metric, self.y, [reference, candidate])
            kept = (reference, candidate, drop, drawn_R2, float(np.nanmean(damages)))
            self._last["draws"] = kept
        return kept[2:]

    def _lost(self, reference: np.ndarray, candidate: np.ndarray) -> float:
        drop = self._metric.value(self.y, reference) - self._metric.value(self.y, candidate)
        return float(drop if self.higher_is_better else 0.0 - drop)

    @property
    def _metric(self) -> type[BaseMetric]:
        return metric_of(self.metric)

    @property
    def higher_is_better(self) -> bool:
        return self._metric.higher_is_better


def _perfect(y: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes) Probabilities that are always right."""
    return np.eye(classes)[y]
