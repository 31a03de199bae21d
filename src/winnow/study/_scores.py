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
    """The score of each outcome; NaN where the training failed."""
    return [o.score if o.finished else math.nan for o in outcomes]


def score_interval(
    outcomes: Iterable[Outcome], metric: str, rows: int | None, confidence: float = 0.95
) -> Interval:
    """Of the mean validation score over seeds: within what the metric can be, and no narrower
    than ``rows`` rows can tell.
    """
    return in_range(t_interval(scores(outcomes), confidence), metric_of(metric).bounds, rows=rows)


def reasons(outcomes: Iterable[Outcome]) -> str:
    """Why trainings failed, the most frequent reason first, with counts; empty when none did."""
    counts = Counter(o.reason or "no reason given" for o in outcomes if not o.finished)
    return "; ".join(
        f"{reason} ({n} of them)" if n > 1 else reason for reason, n in counts.most_common(3)
    )
