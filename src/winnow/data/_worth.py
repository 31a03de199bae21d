"""How far a single validation row can move a score."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from winnow.data._prepared import PreparedData, Rows
from winnow.recipe import metric_of

__all__ = ["rounded_up", "row_worth", "validation_counts"]


def row_worth(prepared: PreparedData, metric: str, seed: int) -> float | None:
    """By how much another prediction for one validation row moves the score at most, whichever row
    it is.

    None for scores without two bounds, losses and R2, where one row can move them as far as it
    likes.

    Args:
        metric: what is scored.
        seed: of the data's split, which halves the validation rows.

    Raises:
        DataError: for an item of a dataset that cannot be read; the labels of streamed rows are
            read in one pass.
    """
    return metric_of(metric).row_worth(
        len(prepared.validation), lambda: validation_counts(prepared, seed)
    )


def validation_counts(prepared: PreparedData, seed: int) -> NDArray[np.int64]:
    """Return the validation rows of each class in each half, (H, C); one half where they are not
    halved. Streamed rows are read.
    """
    rows = prepared.validation
    y = (
        rows.y
        if isinstance(rows, Rows)
        else np.concatenate([y.numpy() for _, y in prepared.batches("validation")])
    )
    half = prepared.halves(seed)
    if half is None:
        half = np.zeros(len(y), dtype=np.int64)
    classes = prepared.out_features
    return np.stack(
        [np.bincount(y[half == h], minlength=classes) for h in range(int(half.max()) + 1)]
    )


def rounded_up(value: float) -> float:
    """Return ``value``, which is not negative, in two digits and not smaller: what may stand in a
    recipe as "at least this".
    """
    if value == 0:
        return 0.0
    digits = 1 - math.floor(math.log10(value))
    return round(math.ceil(round(value * 10.0**digits, 6)) / 10.0**digits, digits)
