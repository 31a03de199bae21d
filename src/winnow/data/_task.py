"""Classification or regression: what the target says, when the recipe leaves it open."""

from __future__ import annotations

from typing import Literal

import numpy as np

from winnow.data._columns import Target
from winnow.errors import DataError
from winnow.recipe import Task

__all__ = ["MOST_CLASSES", "decide"]

MOST_CLASSES = 20  # more different whole numbers than this are a quantity
ROWS_PER_CLASS = 5  # fewer rows than this for each different whole number: a quantity too


def decide(
    y: np.ndarray, asked: Literal["auto", "classification", "regression"], name: str
) -> tuple[Task, str | None]:
    """Return the task, and a note on how it was decided when it was open. ``y`` (N,) holds no gaps.

    Text and booleans are classes. Whole numbers are classes when there are at most 20 different
    ones, with five rows for each or more; other numbers are a quantity.

    Raises:
        DataError: a target with one value only, or one that does not suit the task asked for.
    """
    distinct = np.unique(y)
    if len(distinct) == 1:
        what = "one class" if asked != "regression" else "one value"
        raise DataError(
            f"data.target: {name!r} has only {what}, {Target.label(distinct[0])!r}: expected at "
            f"least two"
        )
    words = y.dtype.kind in "Ob"
    if asked == "regression" and words:
        what = "booleans" if y.dtype.kind == "b" else f"text such as {distinct[0]!r}"
        raise DataError(
            f"data.task: regression needs a target of numbers, {name!r} holds {what}; use `task: "
            f"classification`"
        )
    if asked != "auto":
        return asked, None
    if words:
        kind = "booleans" if y.dtype.kind == "b" else "text"
        return "classification", f"target {name!r} holds {kind}: taken as {len(distinct)} classes"
    whole = bool((distinct == np.floor(distinct)).all())
    if whole and len(distinct) <= MOST_CLASSES and len(distinct) * ROWS_PER_CLASS <= len(y):
        other = "`task: regression` predicts them as numbers"
        return (
            "classification",
            f"target {name!r} holds {len(distinct)} different whole numbers: taken as classes "
            f"({other})",
        )
    kind = "whole numbers" if whole else "numbers"
    return (
        "regression",
        f"target {name!r} holds {len(distinct)} different {kind}: taken as a quantity (regression)",
    )
