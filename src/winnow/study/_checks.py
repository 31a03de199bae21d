"""One check whether a recipe without some parts is no worse: two arms, and a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from winnow.recipe import Ablate, Outcome, metric_of
from winnow.stats import (
    FEWEST_PAIRS,
    Interval,
    at_confidence,
    difference_interval,
    least_deviation,
    row_step,
    shown_margin,
)
from winnow.study import _scores
from winnow.study._arms import Arm, same_predictions
from winnow.study._records import Check, Ground

__all__ = ["Criterion", "another_could_pass", "check_no_change", "check_not_worse"]


@dataclass(frozen=True)
class Criterion:
    """By what a simplified recipe is judged.

    Attributes:
        metric: the score.
        ask: the settings of the ablation.
        confidence: of the intervals of both scores; the tests have their own levels.
        rows: of the validation part; None: not known.
        row_worth: by how much one of them can move the score at most; None: by 1 / ``rows`` of its
            range.
    """

    metric: str
    ask: Ablate
    confidence: float
    rows: int | None = None
    row_worth: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The values that the score can take."""
        return metric_of(self.metric).bounds

    @property
    def margin(self) -> float:
        """The loss that a check must exclude: the smallest effect, or 0 where the rows cannot show
        so little.
        """
        return shown_margin(self.ask.smallest_effect, self.bounds, self.rows, self.row_worth)

    @property
    def takes_the_mean(self) -> bool:
        """Whether the mean alone is enough to accept."""
        return self.ask.accept == "mean"

    def interval(self, outcomes: Sequence[Outcome]) -> Interval:
        """Return the interval of the mean score of some trainings."""
        return _scores.score_interval(outcomes, self.metric, self.rows, self.confidence)

    def difference(self, full: Arm, simplified: Arm, confidence: float) -> Interval:
        """Return the interval of simplified minus full, turned so that positive is better."""
        full_S = np.asarray(_scores.scores(full.outcomes))
        simplified_S = np.asarray(_scores.scores(simplified.outcomes))
        if metric_of(self.metric).higher_is_better:
            gained_S: NDArray[np.float64] = simplified_S - full_S
        else:
            gained_S = full_S - simplified_S
        paired = gained_S[np.isfinite(gained_S)]
        least_sd = least_deviation(paired, full_S, self.bounds, self.rows)
        return difference_interval(gained_S, confidence, self.bounds, least_sd)


def check_not_worse(
    full: Arm, simplified: Arm, without: Sequence[str], criterion: Criterion, *, alpha: float
) -> Check:
    """Accept the simplified recipe only where the check shows that it is not worse.

    With [low, high] the t interval of simplified minus full (positive is better) whose lower end is
    that of a one-sided test at ``alpha``, both ends half a row over the pairs farther out as a
    continuity correction, and s the smallest effect (0 where the score cannot show less than a row,
    see ``shown_margin``):

    1. rejected when more trainings of the simplified recipe fail than of the full one, or fewer
       than ``FEWEST_PAIRS`` pairs finish;
    2. accepted when no prediction differs on any seed;
    3. accepted when low > -s, or low >= 0: a loss of s or more is excluded;
    4. accepted when the mean is at least -s, only if ``ablate.accept`` is ``mean``: that excludes
       nothing, and says so;
    5. rejected otherwise.

    Args:
        full, simplified: both arms, trained on the same seeds.
        without: the parts that the simplified recipe lacks.
        criterion: what it is judged by.
        alpha: level of the one-sided test, in (0, 0.5).

    Source: non-inferiority test with margin s (D. J. Schuirmann 1987, one of the two one-sided
    tests).
    """
    difference = _continuous(criterion.difference(full, simplified, 1 - 2 * alpha), criterion)
    identical = same_predictions(full, simplified)
    failed_full = sum(not outcome.finished for outcome in full.outcomes)
    failed_simplified = sum(not outcome.finished for outcome in simplified.outcomes)
    if failed_simplified > failed_full:
        decision = _Decision(
            False,
            "failures",
            f"{failed_simplified} trainings failed without these parts, {failed_full} with them",
        )
    else:
        decision = _decide(difference, criterion, alpha=alpha, identical=identical)
    return Check(
        without=tuple(without),
        full=criterion.interval(full.outcomes),
        simplified=criterion.interval(simplified.outcomes),
        difference=difference,
        accepted=decision.accepted,
        identical=identical,
        reason=decision.reason,
        ground=decision.ground,
    )


def check_no_change(
    full: Arm, simplified: Arm, without: Sequence[str], criterion: Criterion
) -> Check:
    """Accept the simplified recipe only where not one prediction differs.

    Args:
        full, simplified: both arms, on the seeds on which no part changed a prediction by itself.
        without: the parts that the simplified recipe lacks.
        criterion: what it is judged by.
    """
    same = same_predictions(full, simplified)
    ground: Ground = "together"
    reason = "each of these parts changes no prediction by itself, and together they do"
    if same:
        ground = "identical"
        reason = f"not one prediction changed on any of {len(full.outcomes)} seeds"
    return Check(
        without=tuple(without),
        full=criterion.interval(full.outcomes),
        simplified=criterion.interval(simplified.outcomes),
        difference=criterion.difference(full, simplified, criterion.confidence),
        accepted=same,
        identical=same,
        reason=reason,
        ground=ground,
    )


def another_could_pass(last: Check, criterion: Criterion, *, alpha: float) -> bool:
    """Return whether another check of this size could pass without the parts being harmful.

    Where the last one scattered so widely that even equal recipes would not pass, it could not.

    Args:
        last: the check that was made last.
        criterion: what the next one will be judged by.
        alpha: level of the next one.
    """
    difference = last.difference
    if criterion.takes_the_mean or difference.n < FEWEST_PAIRS or last.identical:
        return True
    # Shown to be worse: the scatter was small enough to tell
    if difference.high < -criterion.margin:
        return True
    narrowed = at_confidence(difference, 1 - 2 * alpha)
    reach = difference.mean - narrowed.low
    hoped_for = replace(narrowed, low=max(difference.mean, 0.0) - reach)
    return _excludes_a_loss(hoped_for, criterion.margin)


@dataclass(frozen=True)
class _Decision:
    """Whether the parts may go, on what ground, and why in a sentence."""

    accepted: bool
    ground: Ground
    reason: str


def _decide(
    difference: Interval, criterion: Criterion, *, alpha: float, identical: bool
) -> _Decision:
    """Return the first decision that holds, in the order of ``check_not_worse``."""
    n = difference.n
    margin = criterion.margin
    smallest = criterion.ask.smallest_effect
    if n < FEWEST_PAIRS:
        reason = f"only {n} pairs of trainings finished, and it takes {FEWEST_PAIRS}"
        return _Decision(False, "few pairs", reason)
    if identical:
        return _Decision(True, "identical", f"not one prediction changed on {n} fresh seeds")
    if _excludes_a_loss(difference, margin):
        least = f"by {smallest:g} or more" if margin else "at all"
        reason = (
            f"shown to be no worse {least} without these parts (difference {difference}, one-sided "
            f"test at {alpha:.2g})"
        )
        return _Decision(True, "shown", reason)
    not_excluded = f"a loss of up to {-difference.low:.4g} is not excluded"
    if criterion.takes_the_mean and difference.mean >= -smallest:
        reason = (
            f"accepted on the mean alone, as asked for (ablate.accept: mean): {not_excluded} "
            f"(difference {difference})"
        )
        return _Decision(True, "mean", reason)
    if difference.high < -margin:
        reason = f"worse without these parts (difference {difference}): together they matter"
        return _Decision(False, "worse", reason)
    reason = (
        f"{n} fresh seeds cannot show that nothing is lost without these parts: {not_excluded} "
        f"(difference {difference})"
    )
    return _Decision(False, "not shown", reason)


def _continuous(difference: Interval, criterion: Criterion) -> Interval:
    """Return the interval with the continuity correction: means of scores move in steps."""
    step = row_step(criterion.bounds, criterion.rows)
    half_a_step = step / (2 * max(difference.n, 1))
    low = difference.low - half_a_step
    high = difference.high + half_a_step
    return replace(difference, low=low, high=high)


def _excludes_a_loss(difference: Interval, margin: float) -> bool:
    return difference.low > -margin or difference.low >= 0
