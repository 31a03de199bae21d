"""Classes with too few rows to be divided: merged into one, or left out, where the recipe says
so.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from winnow.data._columns import Target
from winnow.errors import DataError
from winnow.recipe import Data, Split

__all__ = ["OFFER", "SettledClasses", "rows_needed", "settle_rare"]

OFFER = (
    "write `data.rare_classes: merge` to make one class of the rare ones, or `data.rare_classes: "
    "drop` to leave them out"
)
MERGED = "other"
MOST_NAMED = 10


class SettledClasses(NamedTuple):
    """Labels (N,) without rare classes, which rows are kept, (N,) bool, and what was done."""

    y: np.ndarray
    kept: np.ndarray
    note: str


def rows_needed(split: Split) -> int:
    """Return how many rows of a class a stratified split needs, so that every part has one of
    them.
    """
    return max(3, math.ceil(1 / min(split.test, split.validation)))


def settle_rare(y: np.ndarray, target: str, data: Data) -> SettledClasses | None:
    """Merge the rare classes of a classification or leave out their rows, before anything is
    divided; None: there are none.

    The merged class is called "other", with underscores behind it where a class has that name
    already. All labels are text then.

    Args:
        y: (N,) labels.
        target: its name.
        data: which of the two, and how few rows are rare.

    Raises:
        DataError: what is left cannot be learned.
    """
    least = rows_needed(data.split) if data.rare_below is None else data.rare_below
    values, place, counts = np.unique(y, return_inverse=True, return_counts=True)
    is_rare = counts < least
    if not is_rare.any():
        return None
    named = [f"{Target.label(values[i])!r} ({counts[i]})" for i in np.flatnonzero(is_rare)]
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    what = "1 class" if len(named) == 1 else f"{len(named)} classes"
    which = f"{what} of fewer than {least} rows: {', '.join(named[:MOST_NAMED])}{more}"
    rows = is_rare[place]
    if data.rare_classes == "drop":
        if len(values) - len(named) < 2:
            raise DataError(
                f"data.rare_classes: expected two classes or more of {target!r} to be left by "
                f"drop; it drops {which}"
            )
        return SettledClasses(
            y[~rows],
            ~rows,
            f"{int(rows.sum())} rows were left out (data.rare_classes: drop), those of {which}",
        )
    if rows.all():
        raise DataError(
            f"data.rare_classes: expected a class of {target!r} to be left by merge; it merges "
            f"{which}"
        )
    if rows.sum() < least:
        raise DataError(
            f"data.rare_classes: expected at least {least} rows to merge, got {int(rows.sum())}: "
            f"write "
            f"`data.rare_classes: drop`; {target!r} has {which}"
        )
    labels = [Target.label(value) for value in values]
    name = MERGED
    while name in labels:
        name += "_"
    merged = np.array([Target.label(value) for value in y.tolist()], dtype=object)
    merged[rows] = name
    note = (
        f"{int(rows.sum())} rows are of class {name!r} now (data.rare_classes: merge), those of "
        f"{which}"
    )
    return SettledClasses(merged, np.ones(len(y), dtype=bool), note)
