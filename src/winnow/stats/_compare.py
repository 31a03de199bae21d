"""Many arms against one reference, on the same seeds: the statistics of an ablation."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from winnow.stats._failures import fails_more
from winnow.stats._interval import Interval, in_range, one_row, t_interval, vector
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds

__all__ = [
    "FEWEST_PAIRS",
    "PairedComparison",
    "Verdict",
    "compare_arms",
    "difference_interval",
    "least_deviation",
    "row_step",
    "shown_margin",
]

Verdict = Literal["helps", "hurts", "needed", "no difference", "undecided"]

# For "no difference": the fewest with which an exact one-sided sign test reaches 0.05
FEWEST_PAIRS = 5
ANY = (-math.inf, math.inf)
ROUNDING = 1e-12  # differences nearer than this are equal


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


def compare_arms(
    reference: ArrayLike,
    arms: Mapping[str, ArrayLike],
    *,
    higher_is_better: bool,
    smallest_effect: float,
    confidence: float = 0.95,
    bounds: tuple[float, float] = ANY,
    rows: int | None = None,
    row_worth: float | None = None,
    identical: Collection[str] = (),
) -> list[PairedComparison]:
    """Compare each arm with the reference; both hold one score per seed, shape (S,), the seeds in
    the same order.

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
    The order of the result is that of ``arms``.

    Args:
        bounds: the values that the score can take.
        rows: how many rows the score is of; None: not known, there is no floor.
        row_worth: by how much one row can move a score with two bounds at most, where rows differ
            in that, as in balanced accuracy; None: all alike, by 1 / ``rows`` of its range.
        identical: names of arms whose predictions equal the reference's on every seed.

    Raises:
        ValueError: for shapes that differ, a negative ``smallest_effect``, or a confidence outside
            (0.5, 1).

    Source: equivalence by two one-sided tests, D. J. Schuirmann (1987).
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"`confidence` must lie in (0.5, 1), got {confidence:g}")
    if not smallest_effect >= 0:
        raise ValueError(f"`smallest_effect` must be >= 0, got {smallest_effect:g}")
    full = vector(reference, "reference")
    scores = {name: _like(full, vector(arm, name), name) for name, arm in arms.items()}
    pairs = [_pair(full, arm) for arm in scores.values()]
    differences = [
        with_ - without if higher_is_better else without - with_ for with_, without in pairs
    ]
    floors = [least_deviation(d, full, bounds, rows) for d in differences]
    margin = shown_margin(smallest_effect, bounds, rows, row_worth)

    lost = ~np.isfinite(full)
    failed = {name: ~np.isfinite(arm) for name, arm in scores.items()}
    more = [_surplus(f, lost) > 0 for f in failed.values()]
    alike = [name in identical and not m for name, m in zip(arms, more, strict=True)]

    p = [sign_flip_test(d) for d in differences]
    p_least = holm([sign_flip_test(_beyond(d, smallest_effect)) for d in differences])
    step = row_step(bounds, rows)
    p_same = [
        _no_difference(d, sd, margin, step, same=same, fails_more=m)
        for d, sd, same, m in zip(differences, floors, alike, more, strict=True)
    ]
    p_failures = _failures(lost, failed)
    columns = zip(
        arms,
        pairs,
        differences,
        floors,
        alike,
        more,
        p,
        holm(p),
        p_least,
        holm(p_same),
        p_failures,
        strict=True,
    )
    out = []
    for name, pair, d, sd, same, m, p_raw, p_holm, p_large, p_equal, p_failed in columns:
        interval = difference_interval(d, confidence, bounds, sd)
        verdict = _verdict(interval, 1 - confidence, float(p_holm), float(p_equal), p_failed, m)
        ends = {"helps": interval.low, "hurts": -interval.high}
        out.append(
            PairedComparison(
                name=name,
                difference=interval,
                p=p_raw,
                p_holm=float(p_holm),
                p_same=float(p_equal),
                p_failures=p_failed,
                verdict=verdict,
                at_least_smallest=bool(
                    p_large <= 1 - confidence and ends.get(verdict, -math.inf) >= smallest_effect
                ),
                identical=same,
                n=len(d),
                lost=len(full) - len(d),
                failed=int(failed[name].sum()),
                failed_with=int(lost.sum()),
                correlation=_correlation(*pair),
                mde=_detectable(d, sd, (1 - confidence) / len(arms)),
            )
        )
    return out


def difference_interval(
    d: ArrayLike, confidence: float, bounds: tuple[float, float], least_sd: float
) -> Interval:
    """The t interval of a mean difference between two scores, within what such a difference can
    be.
    """
    width = bounds[1] - bounds[0]
    return in_range(t_interval(d, confidence, least_sd=least_sd), (-width, width))


def row_step(bounds: tuple[float, float], rows: int | None) -> float:
    """The worth of an average row for a score with two bounds, else 0: for scores that move in
    whole rows, the step.
    """
    return (
        one_row(0.0, bounds, rows)
        if rows is not None and math.isfinite(bounds[1] - bounds[0])
        else 0.0
    )


def shown_margin(
    smallest_effect: float,
    bounds: tuple[float, float],
    rows: int | None,
    row_worth: float | None = None,
) -> float:
    """The margin within which differences can be shown to lie: ``smallest_effect``, or 0 for a
    score with two bounds when one row
    can move it farther: rows that did not change on these seeds then say nothing about differences
    of that size.

    Args:
        row_worth: by how much one row can move the score at most; None: by as much as each other
            (``row_step``).
    """
    least = row_step(bounds, rows) if row_worth is None else row_worth
    return smallest_effect if smallest_effect >= least - ROUNDING else 0.0


def least_deviation(
    d: NDArray[np.float64],
    scores: NDArray[np.float64],
    bounds: tuple[float, float],
    rows: int | None,
) -> float:
    """The least deviation that the differences ``d`` between ``scores`` and others are taken to
    have; see ``compare_arms``.
    """
    used = scores[np.isfinite(scores)]
    if rows is None or not len(used):
        return 0.0
    moves_in_rows = math.isfinite(bounds[1] - bounds[0])
    return one_row(float(used.mean()), bounds, rows) / 2 if moves_in_rows or _all_equal(d) else 0.0


def _all_equal(d: NDArray[np.float64]) -> bool:
    return len(d) > 1 and bool(np.ptp(d) <= ROUNDING)


def _like(full: NDArray[np.float64], arm: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if arm.shape != full.shape:
        raise ValueError(
            f"expected arm {name!r} as ({len(full)},), one score per seed of the reference, got "
            f"{arm.shape}"
        )
    return arm


def _pair(
    full: NDArray[np.float64], arm: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arms' scores at the seeds where both finished."""
    both = np.isfinite(full) & np.isfinite(arm)
    return full[both], arm[both]


def _surplus(failed: NDArray[np.bool_], lost: NDArray[np.bool_]) -> int:
    return int(failed.sum()) - int(lost.sum())


def _verdict(
    interval: Interval,
    alpha: float,
    p_holm: float,
    p_same: float,
    p_failures: float,
    fails_more: bool,
) -> Verdict:
    if p_failures <= alpha:
        return "needed"
    if p_same <= alpha:
        return "no difference"
    if p_holm <= alpha and interval.low > 0:
        return "helps"
    if p_holm <= alpha and interval.high < 0 and not fails_more:
        return "hurts"
    return "undecided"


def _failures(lost: NDArray[np.bool_], failed: Mapping[str, NDArray[np.bool_]]) -> list[float]:
    """p value of "needed" for each arm: the larger of the paired one and the pooled one, the
    latter corrected.
    """
    counts = {name: int(f.sum()) for name, f in failed.items()}
    total, trained = sum(counts.values()), sum(len(f) for f in failed.values())
    tests = [
        fails_more(lost.tolist(), f.tolist(), (total - counts[name], trained - len(f)))
        for name, f in failed.items()
    ]
    pooled = holm([p for _, p in tests])
    return [max(paired, float(p)) for (paired, _), p in zip(tests, pooled, strict=True)]


def _beyond(d: NDArray[np.float64], smallest_effect: float) -> NDArray[np.float64]:
    """The differences less the smallest effect, on the side of their mean; zeros, which show
    nothing, where it is smaller.
    """
    if not len(d) or abs(d.mean()) < smallest_effect:
        return np.zeros_like(d)
    return d - math.copysign(smallest_effect, d.mean())


def _no_difference(
    d: NDArray[np.float64],
    least_sd: float,
    margin: float,
    step: float,
    *,
    same: bool,
    fails_more: bool,
) -> float:
    """The p value of "no difference" before Holm's correction: 1 where nothing can be shown, 0
    where no prediction changed.
    """
    # That few pairs are alike proves little: a part may act in one training of two
    if fails_more or len(d) < FEWEST_PAIRS:
        return 1.0
    if same:
        return 0.0
    return _equivalence(d, least_sd, margin, step) if margin > 0 else 1.0


def _equivalence(d: NDArray[np.float64], least_sd: float, margin: float, step: float) -> float:
    """The larger p value of two one-sided t tests against a mean of -margin and of +margin, with a
    continuity correction for differences that move in steps. Equal differences without a floor
    under their deviation show nothing.
    """
    if least_sd == 0 and _all_equal(d):
        return 1.0
    error = max(float(d.std(ddof=1)), least_sd) / math.sqrt(len(d))
    distance = margin - abs(float(d.mean())) - step / (2 * len(d))
    return float(special.stdtr(len(d) - 1, -distance / error))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _detectable(d: NDArray[np.float64], least_sd: float, alpha: float) -> float:
    if len(d) < smallest_seeds(1, alpha):
        return math.inf
    return minimum_detectable_effect(max(float(d.std(ddof=1)), least_sd), len(d), alpha)
