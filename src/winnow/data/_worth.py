"""How far a single validation row can move a score."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from winnow.data._prepared import Prepared, Rows

__all__ = ["of_counts", "rounded_up", "row_worth", "validation_counts"]


def row_worth(prepared: Prepared, metric: str, seed: int) -> float | None:
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
    if metric == "accuracy":
        return 1 / len(prepared.validation)
    if prepared.task != "classification" or metric not in ("balanced_accuracy", "roc_auc"):
        return None
    return of_counts(metric, validation_counts(prepared, seed))


def of_counts(metric: str, counts_HC: NDArray[np.int64]) -> float:
    """``row_worth`` of balanced accuracy or ROC AUC, from the rows of each class in each half of
    the validation rows.

    **Balanced accuracy** is the mean recall of the C classes that occur. A row of class c moves its
    recall by 1 / n_c, and the score by 1 / (C n_c): most in the rarest class.

    **ROC AUC** is the mean area of the H halves, whose epochs differ, and a row is in one of them.
    A row of class c of n_c is in one of n_c equal shares of the area of c against the rest, and
    moves it by up to 1 / n_c. It is one of the n - n_k rows outside each other class k, and moves
    the area of k by up to 1 / (n - n_k). The score is the mean of the C areas: up to (1 / n_c + sum
    over k of 1 / (n - n_k)) / (C H). Of two classes that is 1 / (H n_c), which is reached when the
    row goes from behind all rows of the other class to before them.

    Args:
        counts_HC: (halves, classes); one half where the rows are not halved.
    """
    if metric == "balanced_accuracy":
        all_C = counts_HC.sum(axis=0)
        present = all_C[all_C > 0]
        return float(1 / (len(present) * present.min()))
    worth = 0.0
    for counts in counts_HC:
        present = counts[counts > 0]
        if len(present) < 2:  # the area of a half with one class is 0.5, whatever is predicted
            continue
        outside = 1 / (present.sum() - present)
        worth = max(
            worth,
            float((1 / present + outside.sum() - outside).max() / (len(present) * len(counts_HC))),
        )
    return worth


def validation_counts(prepared: Prepared, seed: int) -> NDArray[np.int64]:
    """(H, C) The validation rows of each class in each half; one half where they are not
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
    """``value``, which is not negative, in two digits and not smaller: what may stand in a
    recipe as "at least this".
    """
    if value == 0:
        return 0.0
    digits = 1 - math.floor(math.log10(value))
    return round(math.ceil(round(value * 10.0**digits, 6)) / 10.0**digits, digits)
