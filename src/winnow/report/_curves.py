"""The curves of the final trainings, as figures and tables need them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from winnow.report import _format as fmt
from winnow.study import FinalRecord, MemberRecord

__all__ = ["finished", "mean_curve", "score_curve"]


def finished(final: FinalRecord) -> list[MemberRecord]:
    """Return the final trainings that finished and left curves."""
    return [one for one in final.outcomes if one.status == "finished" and one.curves]


def score_curve(outcomes: Sequence[MemberRecord]) -> str | None:
    """Return the name of the curve that holds the score: the first ``validation_...`` that is not
    the loss.
    """
    for outcome in outcomes:
        for key in outcome.curves:
            if key.startswith("validation_") and key != "validation_loss":
                return key
    return None


def mean_curve(outcomes: Sequence[MemberRecord], key: str) -> list[float]:
    """Return the mean over outcomes at each epoch that all of them reached.

    Args:
        outcomes: the trainings.
        key: names the curve; outcomes without it do not count.

    Returns:
        One value for each epoch; NaN where one of them is not finite.
    """
    curves = [outcome.curves[key] for outcome in outcomes if outcome.curves.get(key)]
    mean: list[float] = []
    for values in zip(*curves, strict=False):  # stops at the shortest, on purpose
        if all(fmt.finite(value) for value in values):
            mean.append(sum(values) / len(values))
        else:
            mean.append(math.nan)
    return mean
