"""What stands beside a verdict, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from winnow.stats import Interval

__all__ = ["remark"]


def remark(row: Mapping[str, Any], smallest_effect: float) -> str:
    """What a comparison of the ``ablation`` document shows beside its verdict; empty for nothing.

    Failures without the part, that the effect is at least the smallest one, that no prediction
    changed, epochs saved.
    """
    verdict = row.get("verdict")
    said = []
    if (row.get("failed") or 0) > (row.get("failed_with") or 0):
        fail = "fail" if verdict == "needed" else "failed"
        said.append(
            f"without it {row['failed']} of {row['trained']} trainings {fail}, "
            f"{row['failed_with']} with it"
        )
    if verdict in ("helps", "hurts") and row.get("at_least_smallest") and smallest_effect > 0:
        said.append(f"by {smallest_effect:g} or more")
    if row.get("identical"):
        said.append("no prediction changes without it")
    if row.get("saved"):
        said.append(_saved(row["saved"]))
    return "; ".join(said)


def _saved(document: Mapping[str, Any]) -> str:
    mean, low, high = (
        math.nan if document[end] is None else float(document[end])
        for end in ("mean", "low", "high")
    )
    interval = Interval(mean, low, high, document["confidence"], document["n"])
    if low == high == 0:
        return "it never stopped a training before its last epoch"
    if low > 0:
        return f"it saves {interval} epochs a training"
    return (
        f"epochs that it saves: {interval}"
        if math.isfinite(low)
        else "how many epochs it saves is not known"
    )
