"""What each row contributes to a score, for intervals that cover the rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["area_parts"]


def area_parts(y: NDArray[np.integer], probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """What each row contributes to the area under the ROC curve, shape (rows,); the sum is twice the area.

    A row of a class is placed by the share of the others that it lies above (equal counts half), one of another class by the
    share of the class that lies above it; both divided by the number of rows of their kind. Every pair is in two rows' parts.
    For more than two classes: of each class in ``y`` against the rest, the mean.

    Args:
        y: class indices, shape (rows,), two different ones at least.
        probabilities: shape (rows, classes).

    Source: the placements of DeLong, DeLong and Clarke-Pearson 1988, by ranks.
    """
    y = np.asarray(y)
    classes = [1] if probabilities.shape[1] == 2 else np.unique(y).tolist()
    parts = np.zeros(len(y))
    for c in classes:
        inside, score = y == c, np.asarray(probabilities[:, c], dtype=np.float64)
        ranks = stats.rankdata(score)
        counts = int(inside.sum()), int((~inside).sum())
        for mine, others, sign in ((inside, counts[1], 1.0), (~inside, counts[0], -1.0)):
            below = ranks[mine] - stats.rankdata(score[mine])  # rows of the other kind below each
            share = below / others if sign > 0 else 1 - below / others
            parts[mine] += share / (int(mine.sum()) * len(classes))
    return parts
