"""Many arms against one reference, on the same seeds: the statistics of an ablation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from winnow.stats._interval import Interval, t_interval, vector
from winnow.stats._paired import holm, minimum_detectable_effect, sign_flip_test, smallest_seeds

__all__ = ["PairedComparison", "Verdict", "compare_arms"]

Verdict = Literal["helps", "hurts", "no difference", "undecided"]


@dataclass(frozen=True)
class PairedComparison:
    """What a part does, from the recipe with it (the reference) and without it (the arm), seed by seed.

    Attributes:
        name: of the arm.
        difference: interval of the mean difference, in units of the score, turned so that positive means that the part helps.
        p: exact two-sided sign-flip p value.
        p_holm: the same, corrected for the number of arms.
        verdict: see ``compare_arms``.
        n: pairs that were used.
        lost: pairs left out because one of the two trainings failed.
        correlation: between the two arms over seeds; the higher, the more the pairing gained. NaN below three pairs, or when one
            arm does not vary.
        mde: the smallest effect that would have been found with probability 0.8, in units of the score, by a paired t test at the
            level that Holm's first step uses. Infinite when so few pairs cannot give significance.
    """

    name: str
    difference: Interval
    p: float
    p_holm: float
    verdict: Verdict
    n: int
    lost: int
    correlation: float
    mde: float


def compare_arms(
    reference: ArrayLike,
    arms: Mapping[str, ArrayLike],
    *,
    higher_is_better: bool,
    smallest_effect: float,
    confidence: float = 0.95,
) -> list[PairedComparison]:
    """Compare each arm with the reference; both hold one score per seed, shape (S,), the seeds in the same order.

    The verdict on the part that the arm lacks, with alpha = 1 - ``confidence``:

    - ``helps`` / ``hurts``: the corrected p value is at most alpha, the interval lies on that side of zero, and the mean is at
      least ``smallest_effect`` away from it;
    - ``no difference``: the interval at confidence 1 - 2 alpha lies within ±``smallest_effect`` (two one-sided tests at alpha);
    - ``undecided``: neither. More seeds would tell.

    A pair with a score that is not finite is left out and counted. The order of the result is that of ``arms``.

    Raises:
        ValueError: for shapes that differ, a negative ``smallest_effect``, or a confidence outside (0.5, 1).

    Source: equivalence by two one-sided tests, D. J. Schuirmann (1987).
    """
    if not 0.5 < confidence < 1:
        raise ValueError(f"`confidence` must lie in (0.5, 1), got {confidence:g}")
    if not smallest_effect >= 0:
        raise ValueError(f"`smallest_effect` must be >= 0, got {smallest_effect:g}")
    full = vector(reference, "reference")
    pairs = [_pair(full, vector(scores, name), name) for name, scores in arms.items()]
    differences = [with_ - without if higher_is_better else without - with_ for with_, without in pairs]
    p = [sign_flip_test(d) for d in differences]
    first_step = (1 - confidence) / max(1, len(arms))
    return [
        PairedComparison(
            name=name,
            difference=t_interval(d, confidence),
            p=p_raw,
            p_holm=p_holm,
            verdict=_verdict(d, p_holm, smallest_effect, confidence),
            n=len(d),
            lost=len(full) - len(d),
            correlation=_correlation(*pair),
            mde=_detectable(d, first_step),
        )
        for name, pair, d, p_raw, p_holm in zip(arms, pairs, differences, p, holm(p).tolist(), strict=True)
    ]


def _pair(full: NDArray[np.float64], arm: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both arms' scores at the seeds where both finished."""
    if arm.shape != full.shape:
        raise ValueError(f"expected arm {name!r} as ({len(full)},), one score per seed of the reference, got {arm.shape}")
    both = np.isfinite(full) & np.isfinite(arm)
    return full[both], arm[both]


def _verdict(d: NDArray[np.float64], p_holm: float, smallest_effect: float, confidence: float) -> Verdict:
    interval = t_interval(d, confidence)
    if p_holm <= 1 - confidence and abs(interval.mean) >= smallest_effect:
        if interval.low > 0:
            return "helps"
        if interval.high < 0:
            return "hurts"
    narrow = t_interval(d, 2 * confidence - 1)
    if -smallest_effect < narrow.low and narrow.high < smallest_effect:
        return "no difference"
    return "undecided"


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def _detectable(d: NDArray[np.float64], alpha: float) -> float:
    if len(d) < smallest_seeds(1, alpha):
        return math.inf
    return minimum_detectable_effect(float(d.std(ddof=1)), len(d), alpha)
