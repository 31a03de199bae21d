"""The mean F1 of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["MacroF1"]


class MacroF1(BaseMetric):
    """The mean F1 over the classes that occur or are predicted
    (``sklearn.metrics.f1_score`` with ``average="macro"``).
    """

    name: ClassVar[str] = "macro_f1"
    label: ClassVar[str] = "macro F1"
    aliases: ClassVar[tuple[str, ...]] = ("f1", "f1_score", "f1_macro")
    task = "classification"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    in_evaluation = True
    added_up = True
    by_class = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        from sklearn import metrics

        predicted = probabilities.argmax(axis=1)
        return float(metrics.f1_score(y, predicted, average="macro", zero_division=0))

    @classmethod
    def row_parts(cls, y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        import numpy as np

        n = len(y)
        predicted = probabilities.argmax(axis=1)
        present = np.union1d(y, predicted)
        parts = np.zeros(n)
        for c in present:
            # F1 is the ratio of these sums; its parts are those of a ratio, to first order
            hits = 2.0 * ((y == c) & (predicted == c))
            either = (y == c).astype(float) + (predicted == c)
            total = either.sum()
            beyond_mean = hits - hits.sum() / total * either
            parts += n * beyond_mean / total / len(present)
        return parts

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """Return by how much one validation row moves the score at most.

        A row of class c that is no longer right takes up to 2 / (n_c + 1) from the F1 of c, and up
        to 1 / (2 n_k + 1) from that of the class k that it is predicted to be. Where a class has no
        rows, to predict it makes the mean one of a class more.
        """
        all_C = counts_HC().sum(axis=0)
        present = all_C[all_C > 0]
        least = int(present.min())
        classes = len(present)
        worth = (2 / (least + 1) + 1 / (2 * least + 1)) / classes
        if classes < len(all_C):
            worth += 1 / (classes + 1)
        return min(worth, 1.0)

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        """Return, of each class, the rows that are right and those that are predicted to be of
        it.
        """
        import torch

        classes = torch.arange(rows.classes, device=rows.targets.device)
        predicted_VBC = (rows.predicted.unsqueeze(-1) == classes).double()
        by_part = [(predicted_VBC * part_B.unsqueeze(-1)).sum(dim=1) for part_B in rows.of_part.T]
        predicted_VHC = torch.stack(by_part, dim=1)
        return torch.cat([rows.by_class(rows.right), predicted_VHC], dim=-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        import numpy as np

        classes = targets.counts.shape[1]
        right_VGC = sums_VGK[..., :classes]
        either_VGC = sums_VGK[..., classes:] + targets.counts
        f1_VGC = 2 * right_VGC / np.maximum(either_VGC, 1)
        classes_VG = (either_VGC > 0).sum(axis=-1)
        means_VG: NDArray[np.float64] = f1_VGC.sum(axis=-1) / classes_VG
        return means_VG
