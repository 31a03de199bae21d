"""Many arms against one reference, on the same seeds: the statistics of an ablation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from winnow.stats._arrays import Floats, vector
from winnow.stats._equivalence import no_difference_p_value
from winnow.stats._failures import failure_p_values
from winnow.stats._granularity import in_range, least_deviation, row_step, shown_margin
from winnow.stats._interval import Interval, t_interval
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds

__all__ = ["PairedComparison", "Verdict", "compare_arms", "difference_interval"]

Verdict = Literal["helps", "hurts", "needed", "no difference", "undecided"]

UNBOUNDED = (-math.inf, math.inf)


@dataclass(frozen=True)
class PairedComparison:
    """What a part does, from the recipe with it (the reference) and without it (the arm), seed by
    seed.

    Attributes:
        name: of the arm.
        difference: interval of the mean difference, in units of the score, turned so that positive
            means that the part helps.
        p: exact two-sided sign-flip p value.
        p_holm: the same, corrected for the number of arms.
        p_same: p value of "no difference", corrected for the number of arms; 0 where no prediction
            changed on enough seeds.
        p_failures: p value of "needed", corrected for the number of arms.
        verdict: see ``compare_arms``.
        at_least_smallest: the part was shown to help or hurt by no less than the smallest effect.
        identical: on no seed did any prediction change without the part.
        n: pairs that were used.
        lost: pairs left out because one of the two trainings failed.
        failed: trainings that failed without the part.
        failed_with: trainings that failed with it, in the reference.
        correlation: between the two arms over seeds; the higher, the more the pairing gained. NaN
            below three pairs, or when one arm does not vary.
        mde: the smallest effect that would have been found with probability 0.8, in units of the
            score, by a paired t test at the level that Holm's first step uses. Infinite when so few
            pairs cannot give significance.
    """

    name: str
    difference: Interval
    p: float
    p_holm: float
    p_same: float
    p_failures: float
    verdict: Verdict
    at_least_smallest: bool
    identical: bool
    n: int
    lost: int
    failed: int
    failed_with: int
    correlation: float
    mde: float


@dataclass(frozen=True)
class _Pairs:
    """One arm beside the reference, at the seeds where both finished.

    Attributes:
        name: of the arm.
        reference, arm: the scores of both, shape (pairs,).
        differences: between them, positive where the reference is better.
        least_sd: that the differences are taken to have.
        lost: seeds at which one of the two failed.
        failed, failed_with: trainings of the arm, and of the reference, that failed.
        identical: no prediction differs on any seed, and the arm fails no more often.
    """

    name: str
    reference: Floats
    arm: Floats
    differences: Floats
    least_sd: float
    lost: int
    failed: int
    failed_with: int
    identical: bool

    @property
    def fails_more(self) -> bool:
        """Whether more trainings fail without the part."""
        return self.failed > self.failed_with

    @property
    def sd(self) -> float:
        """The deviation of the differences, no less than ``least_sd``."""
        return max(float(self.differences.std(ddof=1)), self.least_sd)


@dataclass(frozen=True)
class _PValues:
    """The p values of one arm; all but ``raw`` are corrected for the number of arms."""

    raw: float
    difference: float
    at_least_smallest: float
    no_difference: float
    failures: float


def compare_arms(
    reference: ArrayLike,
    arms: Mapping[str, ArrayLike],
    *,
    higher_is_better: bool,
    smallest_effect: float,
    confidence: float = 0.95,
    bounds: tuple[float, float] = UNBOUNDED,
    rows: int | None = None,
    row_worth: float | None = None,
    identical: Collection[str] = (),
) -> list[PairedComparison]:
    """Compare each arm with the reference, seed by seed.

    The verdict on the part that the arm lacks, with alpha = 1 - ``confidence``, the first that
    holds:

    - ``needed``: without the part more trainings fail, in the pairs (McNemar's exact test at alpha)
      and beside all trainings of the study (Fisher's exact test, corrected by Holm); see
      ``fails_more``.
    - ``no difference``: no prediction changed on any seed (``identical``), or the mean difference
      was shown to lie within ±``smallest_effect``: two one-sided t tests, each at alpha, the larger
      p value corrected by Holm. Both take at least ``FEWEST_PAIRS`` pairs and no more failures
      without the part than with it; the tests also take, for a score with two bounds such as
      accuracy, a ``smallest_effect`` of at least what one row can move it by, and have a continuity
      correction of half a row in the sum over pairs.
    - ``helps`` / ``hurts``: the sign-flip p value, corrected by Holm, is at most alpha, and the
      interval lies on that side of zero. Where the same test against ``smallest_effect`` is passed
      as well, ``at_least_smallest`` says so. A part without which more trainings fail does not
      hurt.
    - ``undecided``: none of these.

    A score with two bounds is taken to move in whole rows: the deviation of the differences counts
    as half a row at least, in intervals and in "no difference". Other scores get this floor only
    where all differences are equal. A pair with a score that is not finite is left out and counted.

    Args:
        reference: the score of each training with all parts, one for each seed, shape (S,).
        arms: the scores without a part, by its name, shape (S,) with the seeds in the same order.
        higher_is_better: which way the score goes.
        smallest_effect: the smallest difference that matters, >= 0, in units of the score.
        confidence: in (0.5, 1).
        bounds: the values that the score can take.
        rows: how many rows the score is of; None: not known, there is no floor.
        row_worth: by how much one row can move a score with two bounds at most, where rows differ
            in that, as in balanced accuracy; None: all alike, by 1 / ``rows`` of its range.
        identical: names of arms whose predictions equal the reference's on every seed.

    Returns:
        One comparison for each arm, in their order.

    Raises:
        ValueError: for shapes that differ, a negative ``smallest_effect``, or a confidence outside
            (0.5, 1).

    Source: equivalence by two one-sided tests, D. J. Schuirmann (1987).

    Example:
        >>> with_dropout = [0.90, 0.91, 0.89, 0.90, 0.92, 0.91]
        >>> without = [0.87, 0.89, 0.86, 0.88, 0.89, 0.89]
        >>> (found,) = compare_arms(
        ...     with_dropout, {"dropout": without}, higher_is_better=True, smallest_effect=0.005
        ... )
        >>> print(found.verdict, found.difference)
        helps 0.025 [0.019, 0.031]
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"`confidence` must lie in (0.5, 1), got {confidence:g}")
    if not smallest_effect >= 0:
        raise ValueError(f"`smallest_effect` must be >= 0, got {smallest_effect:g}")
    reference_S = vector(reference, "reference")
    arms_S = {name: _like(reference_S, arm, name) for name, arm in arms.items()}
    pairs = [
        _paired(
            name,
            reference_S,
            arm_S,
            higher_is_better=higher_is_better,
            bounds=bounds,
            rows=rows,
            same_predictions=name in identical,
        )
        for name, arm_S in arms_S.items()
    ]
    margin = shown_margin(smallest_effect, bounds, rows, row_worth)
    p_no_difference = [
        no_difference_p_value(
            pair.differences,
            pair.least_sd,
            margin,
            row_step(bounds, rows),
            identical=pair.identical,
            fails_more=pair.fails_more,
        )
        for pair in pairs
    ]
    failed = {name: ~np.isfinite(arm_S) for name, arm_S in arms_S.items()}
    p_failures = failure_p_values(~np.isfinite(reference_S), failed)
    p_values = _corrected(pairs, smallest_effect, p_no_difference, p_failures)
    return [
        _comparison(pair, p, len(arms), smallest_effect, confidence, bounds)
        for pair, p in zip(pairs, p_values, strict=True)
    ]


def difference_interval(
    differences: ArrayLike, confidence: float, bounds: tuple[float, float], least_sd: float
) -> Interval:
    """Return the t interval of a mean difference between two scores, within what it can be.

    Args:
        differences: pair by pair, shape (S,); those that are not finite are left out and counted.
        confidence: in (0, 1).
        bounds: the values that each of the two scores can take.
        least_sd: is taken for the sample deviation where that is smaller.

    Example:
        >>> print(difference_interval([0.02, 0.03, 0.01], 0.95, (0.0, 1.0), 0.0))
        0.02 [-0.00, 0.04]
    """
    farthest = bounds[1] - bounds[0]
    found = t_interval(differences, confidence, least_sd=least_sd)
    return in_range(found, (-farthest, farthest))


def _like(reference_S: Floats, scores: ArrayLike, name: str) -> Floats:
    """Return the scores of an arm, which must be as many as the reference's."""
    arm_S = vector(scores, name)
    if arm_S.shape != reference_S.shape:
        raise ValueError(
            f"expected arm {name!r} as ({len(reference_S)},), one score per seed of the reference, "
            f"got {arm_S.shape}"
        )
    return arm_S


def _paired(
    name: str,
    reference_S: Floats,
    arm_S: Floats,
    *,
    higher_is_better: bool,
    bounds: tuple[float, float],
    rows: int | None,
    same_predictions: bool,
) -> _Pairs:
    both_finished = np.isfinite(reference_S) & np.isfinite(arm_S)
    reference = reference_S[both_finished]
    arm = arm_S[both_finished]
    differences = reference - arm if higher_is_better else arm - reference
    failed = int((~np.isfinite(arm_S)).sum())
    failed_with = int((~np.isfinite(reference_S)).sum())
    return _Pairs(
        name=name,
        reference=reference,
        arm=arm,
        differences=differences,
        least_sd=least_deviation(differences, reference_S, bounds, rows),
        lost=len(reference_S) - len(differences),
        failed=failed,
        failed_with=failed_with,
        # Where the arm fails more often, the predictions that are missing are not the same
        identical=same_predictions and failed <= failed_with,
    )


def _corrected(
    pairs: Sequence[_Pairs],
    smallest_effect: float,
    p_no_difference: Sequence[float],
    p_failures: Sequence[float],
) -> list[_PValues]:
    """Return the p values of each arm, each kind corrected over all arms as a family of its own."""
    raw = [sign_flip_test(pair.differences) for pair in pairs]
    beyond = [sign_flip_test(_beyond(pair.differences, smallest_effect)) for pair in pairs]
    columns = zip(raw, holm(raw), holm(beyond), holm(p_no_difference), p_failures, strict=True)
    return [
        _PValues(p, float(difference), float(large), float(same), failures)
        for p, difference, large, same, failures in columns
    ]


def _beyond(differences: Floats, smallest_effect: float) -> Floats:
    """Return by how much the differences go beyond the smallest effect, on the side of their mean.

    Where the mean is smaller than that, they are zeros, which show nothing.
    """
    if not len(differences) or abs(differences.mean()) < smallest_effect:
        return np.zeros_like(differences)
    return differences - math.copysign(smallest_effect, differences.mean())


def _comparison(
    pair: _Pairs,
    p: _PValues,
    num_arms: int,
    smallest_effect: float,
    confidence: float,
    bounds: tuple[float, float],
) -> PairedComparison:
    alpha = 1 - confidence
    interval = difference_interval(pair.differences, confidence, bounds, pair.least_sd)
    verdict = _verdict(interval, p, alpha, fails_more=pair.fails_more)
    nearer_end = _nearer_end(interval, verdict)
    return PairedComparison(
        name=pair.name,
        difference=interval,
        p=p.raw,
        p_holm=p.difference,
        p_same=p.no_difference,
        p_failures=p.failures,
        verdict=verdict,
        at_least_smallest=p.at_least_smallest <= alpha and nearer_end >= smallest_effect,
        identical=pair.identical,
        n=len(pair.differences),
        lost=pair.lost,
        failed=pair.failed,
        failed_with=pair.failed_with,
        correlation=_correlation(pair.reference, pair.arm),
        mde=_detectable(pair, alpha / num_arms),
    )


def _verdict(interval: Interval, p: _PValues, alpha: float, *, fails_more: bool) -> Verdict:
    """Return the first verdict that holds, in the order that ``compare_arms`` names."""
    if p.failures <= alpha:
        return "needed"
    if p.no_difference <= alpha:
        return "no difference"
    if p.difference <= alpha and interval.low > 0:
        return "helps"
    if p.difference <= alpha and interval.high < 0 and not fails_more:
        return "hurts"
    return "undecided"


def _nearer_end(interval: Interval, verdict: Verdict) -> float:
    """Return how far from zero the effect is at least, where there is one."""
    if verdict == "helps":
        return interval.low
    if verdict == "hurts":
        return -interval.high
    return -math.inf


def _correlation(a: Floats, b: Floats) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _detectable(pair: _Pairs, alpha: float) -> float:
    """Return the smallest effect that these pairs are likely to show at level ``alpha``."""
    n = len(pair.differences)
    if n < smallest_seeds(1, alpha):
        return math.inf
    return minimum_detectable_effect(pair.sd, n, alpha)
