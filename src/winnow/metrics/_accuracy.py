"""Accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["Accuracy"]


class Accuracy(BaseMetric):
    """The share of rows whose most probable class is right (``sklearn.metrics.accuracy_score``)."""

    name: ClassVar[str] = "accuracy"
    label: ClassVar[str] = "accuracy"
    aliases: ClassVar[tuple[str, ...]] = ("acc", "error_rate")
    task = "classification"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    in_validation = True
    in_evaluation = True
    added_up = True
    hits = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        from sklearn import metrics

        return float(metrics.accuracy_score(y, probabilities.argmax(axis=1)))

    @staticmethod
    def per_row(y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        right: NDArray[np.float64] = (probabilities.argmax(axis=1) == y).astype("float64")
        return right

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        return 1 / rows

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        return rows.by_part(rows.right).unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows
        return shares
