"""Balanced accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["BalancedAccuracy"]


class BalancedAccuracy(BaseMetric):
    """The mean recall over the classes that occur (``sklearn.metrics.balanced_accuracy_score``)."""

    name: ClassVar[str] = "balanced_accuracy"
    label: ClassVar[str] = "balanced accuracy"
    task = "classification"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    in_validation = True
    in_evaluation = True
    added_up = True
    by_class = True
    hits = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        import numpy as np
        from sklearn import metrics

        # `balanced_accuracy_score` is this, with a warning when a class is predicted that `y` lacks
        predicted = probabilities.argmax(axis=1)
        present = np.unique(y)
        recall = metrics.recall_score(
            y, predicted, labels=present, average="macro", zero_division=0
        )
        return float(recall)

    @staticmethod
    def per_row(y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        right: NDArray[np.float64] = (probabilities.argmax(axis=1) == y).astype("float64")
        return right

    @staticmethod
    def of_a_constant(y: np.ndarray) -> float:
        return 1 / len(set(y.tolist()))

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """Return by how much one validation row moves the score at most.

        A row of class c moves its recall by 1 / n_c, and the score, the mean over the C classes
        that occur, by 1 / (C n_c): most in the rarest class.
        """
        all_C = counts_HC().sum(axis=0)
        present = all_C[all_C > 0]
        return float(1 / (len(present) * present.min()))

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        return rows.by_class(rows.right)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        import numpy as np

        counts_GC = targets.counts
        # A class without rows adds nothing, and is not counted
        recalls_VGC = sums_VGK / np.maximum(counts_GC, 1)
        classes_G = (counts_GC > 0).sum(axis=1)
        means_VG: NDArray[np.float64] = recalls_VGC.sum(axis=-1) / classes_G
        return means_VG
