"""How much worse one model scores than another on the same rows.

Where rows are right or wrong, the interval is ``stats.paired_shares``, exact enough also where
nothing changed. Of functions of means over rows it is ``stats.mean_over_rows`` of what each row
adds to the difference (its influence): exactly for a mean over rows or pairs of rows, by the delta
method for what is relative to a constant, as r2 is, and for what is in units of the target, whose
budget is a share, on the logarithm of the ratio. All others are measured again on resampled rows.
Rare rows may lose much, of which few or none were seen: the upper end allows for them, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.compression._rare import Changes, upper_end, when_nothing_is_known
from winnow.metrics import BaseMetric
from winnow.stats import (
    Interval,
    RowGroup,
    drawn_half,
    mean_over_rows,
    paired_shares,
    resampled,
)

__all__ = ["Comparison", "Draws", "draw", "drop_of", "is_drawn"]

_DAMAGES = 32  # draws of rows that get another row's answer
_PLACES = (np.arange(64) + 0.5) / 64  # of a score among others, evenly spread
_TINY = np.finfo(np.float64).tiny  # in place of a divisor of 0


@dataclass(frozen=True)
class Comparison:
    """Two models' predictions of the same rows.

    Attributes:
        metric: what counts.
        y: (n,) class indices, or targets in their own units.
        reference: probabilities (n, C) or numbers (n,) of the trained model.
        candidate: those of the other.
        confidence: of the interval, in (0, 1).
        times: as if every row had been seen so many times.
    """

    metric: type[BaseMetric]
    y: NDArray[Any]
    reference: NDArray[Any]
    candidate: NDArray[Any]
    confidence: float
    times: float

    @property
    def alpha(self) -> float:
        """The error probability above the upper end."""
        return (1 - self.confidence) / 2

    def rows(self, predictions: NDArray[Any]) -> NDArray[np.float64]:
        """Return what each row adds to the metric's mean, (n,)."""
        found = self.metric.per_row(self.y, predictions)
        assert found is not None
        return found

    def losses(self, predictions: NDArray[Any]) -> NDArray[np.float64]:
        """Return the same with a sign such that more is worse."""
        rows = self.rows(predictions)
        return -rows if self.metric.higher_is_better else rows

    def pairs(self, predictions: NDArray[Any]) -> NDArray[np.float64]:
        """Return where each row stands among those of the other classes, (n,)."""
        found = self.metric.pairs(self.y, predictions)
        assert found is not None
        return found

    def lost(self, predictions: NDArray[Any]) -> float:
        """Return how much worse other predictions score than the reference."""
        before = self.metric.value(self.y, self.reference)
        after = self.metric.value(self.y, predictions)
        return float(before - after if self.metric.higher_is_better else after - before)

    def undecided(self, drop: float) -> Interval:
        """Return a loss of which nothing else is known."""
        return Interval(drop, -math.inf, math.inf, self.confidence, len(self.y), kind="rows")


@dataclass(frozen=True)
class Draws:
    """What resampling found about two models.

    Attributes:
        reference, candidate: the predictions that it is about.
        drop: on the rows themselves.
        scores: of both on resampled rows, (R, 2).
        damage: what rows that were not seen may add.
    """

    reference: NDArray[Any]
    candidate: NDArray[Any]
    drop: float
    scores: NDArray[np.float64]
    damage: float

    def are_of(self, compared: Comparison) -> bool:
        """Return whether they are about these predictions, the very arrays."""
        return self.reference is compared.reference and self.candidate is compared.candidate


def is_drawn(compared: Comparison) -> bool:
    """Return whether the interval takes resampled rows."""
    metric, y, reference = compared.metric, compared.y, compared.reference
    if metric.hits or metric.pairs(y, reference) is not None:
        return False
    if metric.per_row(y, reference) is None or metric.by_class:
        return True
    is_closed = metric.in_target_units or metric.relative_to(y) is not None
    return not is_closed and metric.root != 1


def drop_of(compared: Comparison, draws: Draws | None = None) -> Interval:
    """Return how much worse the candidate is, in the metric's unit.

    Args:
        compared: the two models.
        draws: of the same; needed where ``is_drawn`` says so.

    Returns:
        An interval; above 0 is worse, also for errors.
    """
    if draws is not None:
        return _by_resampling(compared, draws)
    metric = compared.metric
    if metric.hits:
        return _of_shares(compared)
    if metric.pairs(compared.y, compared.reference) is not None:
        return _of_pairs(compared)
    if metric.relative_to(compared.y) is not None:
        return _of_shares_of_variance(compared)
    if metric.in_target_units:
        return _of_ratio(compared)
    return _of_means(compared)


# -- closed forms ----------------------------------------------------------------------------------


def _of_shares(compared: Comparison) -> Interval:
    """Of right answers, over all rows or with classes that weigh alike."""
    before = compared.rows(compared.reference) > 0
    after = compared.rows(compared.candidate) > 0
    strata = np.zeros(len(compared.y), dtype=np.int64)
    if compared.metric.by_class:
        strata = compared.y
    rows = np.bincount(strata)
    lost = np.bincount(strata[before & ~after], minlength=len(rows))
    won = np.bincount(strata[~before & after], minlength=len(rows))
    some = rows > 0
    return paired_shares(
        lost[some],
        won[some],
        rows[some],
        confidence=compared.confidence,
        times=compared.times,
    )


def _over_rows(
    compared: Comparison, groups: Sequence[RowGroup], changes: Sequence[Changes]
) -> Interval:
    """Return a sum of means over rows, with an upper end that allows for rows that were not
    seen.
    """
    confidence, times = compared.confidence, compared.times
    found = mean_over_rows(groups, confidence=confidence, times=times)
    high = upper_end(found.mean, changes, confidence=confidence, times=times)
    return replace(found, high=max(found.high, high))


def _of_means(compared: Comparison) -> Interval:
    before = compared.losses(compared.reference)
    after = compared.losses(compared.candidate)
    ignorant = when_nothing_is_known(
        lambda rows: compared.losses(compared.reference[rows]), len(compared.y)
    )
    group = RowGroup(after - before, spread=before.std())
    return _over_rows(compared, [group], [Changes(after - before, ignorant)])


def _of_pairs(compared: Comparison) -> Interval:
    """Return DeLong's placements: each pair of rows is in the parts of both, so the parts add up to
    twice the difference.
    """
    perfect = np.eye(compared.reference.shape[1])[compared.y]
    before, after, best = map(compared.pairs, (compared.reference, compared.candidate, perfect))
    drop, classes = float((before - after).sum()) / 2, np.unique(compared.y)
    groups, changes = [], []
    for label in classes:
        mine = compared.y == label
        n = mine.sum()
        lost = n * (before - after)[mine]
        centered = lost - lost.mean() + drop / len(classes)
        groups.append(RowGroup(centered, spread=n * before[mine].std()))
        # A score that knows nothing of its row stands anywhere among the others
        anywhere = n * (before[mine, None] - best[mine, None] * _PLACES)
        changes.append(Changes(lost, anywhere.ravel()))
    return _over_rows(compared, groups, changes)


def _as_share(compared: Comparison, of: NDArray[np.float64]) -> Changes:
    """Return what the rows add to the ratio of the mean difference to the mean of ``of``."""
    added = compared.rows(compared.candidate) - compared.rows(compared.reference)
    whole = max(float(of.mean()), _TINY)
    ratio = added.mean() / whole
    ignorant = when_nothing_is_known(
        lambda rows: compared.rows(compared.reference[rows]), len(compared.y)
    )
    return Changes(added / whole, ignorant / whole, slope=-ratio * (of / whole - 1))


def _of_shares_of_variance(compared: Comparison) -> Interval:
    """The difference of r2 is that of two shares of the variance."""
    squares = compared.metric.relative_to(compared.y)
    assert squares is not None
    changes = _as_share(compared, squares)
    variance = max(squares.mean(), _TINY)
    spread = compared.rows(compared.reference).std() / variance
    group = RowGroup(changes.rows + changes.slope, spread=spread)
    return _over_rows(compared, [group], [changes])


def _of_ratio(compared: Comparison) -> Interval:
    """Return the interval of the logarithm of the ratio of two scores, as a difference from the
    reference.
    """
    power = compared.metric.root
    before, after = compared.rows(compared.reference), compared.rows(compared.candidate)
    score = before.mean() ** (1 / power)
    drop = float(after.mean() ** (1 / power) - score)
    if min(before.mean(), after.mean()) <= 0:
        return compared.undecided(drop)
    relative = before / before.mean()
    each = (after / after.mean() - relative) / power
    ratio = math.log(after.mean() / before.mean()) / power
    group = RowGroup(each + ratio, spread=relative.std() / power)
    confidence, times = compared.confidence, compared.times
    found = mean_over_rows([group], confidence=confidence, times=times)
    changes = _as_share(compared, before)
    mean = float(changes.rows.mean())
    rise = upper_end(mean, [changes], confidence=confidence, times=times)
    highest = max(found.high, math.log1p(rise) / power)
    return replace(
        found,
        mean=drop,
        low=float(score * np.expm1(found.low)),
        high=float(score * np.expm1(highest)),
    )


# -- resampling ------------------------------------------------------------------------------------


def draw(compared: Comparison) -> Draws:
    """Return the scores of both on resampled rows, and what rows that were not seen may add.

    For the latter, as many of these rows as n rows cannot exclude get another row's answer.
    """
    n, candidate = len(compared.y), compared.candidate
    drop = compared.lost(candidate)
    if n < 2:
        return Draws(compared.reference, candidate, drop, np.empty((0, 2)), math.inf)
    hit = min(n, max(1, math.ceil(n * _not_excluded(compared.alpha, n))))
    rng = np.random.default_rng(0)
    damages = []
    for _ in range(_DAMAGES):
        worse = candidate.copy()
        rows = rng.permutation(n)[:hit]
        worse[rows] = candidate[(rows + rng.integers(1, n)) % n]
        damages.append(compared.lost(worse) - drop)
    scores_R2 = resampled(compared.metric, compared.y, [compared.reference, candidate])
    damage = float(np.nanmean(damages))
    return Draws(compared.reference, candidate, drop, scores_R2, damage)


def _by_resampling(compared: Comparison, draws: Draws) -> Interval:
    n, drop = len(compared.y), draws.drop
    if n < 2:
        return compared.undecided(drop)
    half = drawn_half(draws.scores, n, compared.confidence, compared.times)
    # To first order as much as there are more or fewer of such rows than in `damage`
    now = _not_excluded(compared.alpha, n * compared.times)
    unseen = draws.damage * now / _not_excluded(compared.alpha, n)
    high = drop + half + max(unseen, 0.0)
    return Interval(drop, drop - half, high, compared.confidence, n, kind="rows")


def _not_excluded(alpha: float, n: float) -> float:
    """Return the share of rows of which n may hold none with probability ``alpha``."""
    return 1 - alpha ** (1 / n)
