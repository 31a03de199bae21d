"""What stands beside a verdict, in words."""

from __future__ import annotations

import math
from dataclasses import replace

from winnow.stats import Interval
from winnow.study._records import ComparisonRecord

__all__ = ["remark", "remark_saved"]


def remark(row: ComparisonRecord, smallest_effect: float) -> str:
    """Return what a comparison shows beside its verdict; empty for nothing.

    That is: failures without the part, that the effect is at least the smallest one, that no
    prediction changed, epochs saved.

    Args:
        row: the comparison.
        smallest_effect: the smallest difference that matters, in units of the score.
    """
    said = []
    if (row.failed or 0) > (row.failed_with or 0):
        # Of a part that is needed it is a law; of others it is only what happened
        fail = "fail" if row.verdict == "needed" else "failed"
        said.append(
            f"without it {row.failed} of {row.trained} trainings {fail}, {row.failed_with} with it"
        )
    if row.verdict in ("helps", "hurts") and row.at_least_smallest and smallest_effect > 0:
        said.append(f"by {smallest_effect:g} or more")
    if row.identical:
        said.append("no prediction changes without it")
    if row.saved is not None:
        said.append(remark_saved(row.saved))
    return "; ".join(said)


def remark_saved(saved: Interval) -> str:
    """Return how many epochs a part saves that is there to save time, in words."""
    if saved.low == saved.high == 0:
        return "it never stopped a training before its last epoch"
    shown = replace(saved, lost=0)
    if saved.low > 0:
        return f"it saves {shown} epochs a training"
    if math.isfinite(saved.low):
        return f"epochs that it saves: {shown}"
    return "how many epochs it saves is not known"
