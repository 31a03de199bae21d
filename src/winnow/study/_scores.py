"""What studies make of outcomes: scores, their intervals, and reasons of failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from winnow.recipe import Outcome, metric_of
from winnow.stats import Interval, in_range, t_interval

__all__ = [
    "reasons",
    "score_interval",
    "scores",
]


def scores(outcomes: Iterable[Outcome]) -> list[float]:
    """Return the score of each outcome; NaN where the training failed."""
    return [outcome.score if outcome.finished else math.nan for outcome in outcomes]


def score_interval(
    outcomes: Iterable[Outcome], metric: str, rows: int | None, confidence: float = 0.95
) -> Interval:
    """Return the interval of the mean validation score over seeds.

    It lies within what the metric can be, and is no narrower than the rows can tell.

    Args:
        outcomes: of one recipe, one for each seed.
        metric: the score, never ``auto``.
        rows: of the validation part; None: not known.
        confidence: in (0, 1).
    """
    over_seeds = t_interval(scores(outcomes), confidence)
    return in_range(over_seeds, metric_of(metric).bounds, rows=rows)


def reasons(outcomes: Iterable[Outcome]) -> str:
    """Return why trainings failed: the three most frequent reasons, with counts; empty when none
    did.
    """
    failed = [outcome for outcome in outcomes if not outcome.finished]
    counts = Counter(outcome.reason or "no reason given" for outcome in failed)
    told = []
    for reason, n in counts.most_common(3):
        told.append(f"{reason} ({n} of them)" if n > 1 else reason)
    return "; ".join(told)
