"""The mean F1 of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

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
    def value(y: NDArray[Any], probabilities: NDArray[Any]) -> float:
        from sklearn import metrics

        predicted = probabilities.argmax(axis=1)
        return float(metrics.f1_score(y, predicted, average="macro", zero_division=0))

    @classmethod
    def row_parts(cls, y: NDArray[Any], probabilities: NDArray[Any]) -> NDArray[np.float64]:
        import numpy as np

        n, predicted = len(y), probabilities.argmax(axis=1)
        present = np.union1d(y, predicted)
        parts = np.zeros(n)
        for c in present:
            hits = 2.0 * ((y == c) & (predicted == c))
            either = (y == c).astype(float) + (predicted == c)
            parts += n * (hits - hits.sum() / either.sum() * either) / either.sum() / len(present)
        return parts

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """A row of class c that is no longer right takes up to 2 / (n_c + 1) from the F1 of c, and
        up to 1 / (2 n_k + 1) from that of the class k that it is told to be. Where a class has no
        rows, to predict it makes the mean one of a class more.
        """
        all_C = counts_HC().sum(axis=0)
        present = all_C[all_C > 0]
        least, classes = int(present.min()), len(present)
        worth = (2 / (least + 1) + 1 / (2 * least + 1)) / classes
        worth += 1 / (classes + 1) if classes < len(all_C) else 0.0
        return min(worth, 1.0)

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        """Of each class the rows that are right, and those that are told to be of it."""
        import torch

        classes = torch.arange(rows.classes, device=rows.targets.device)
        told_VBC = (rows.predicted.unsqueeze(-1) == classes).double()
        told_VHC = torch.stack(
            [(told_VBC * part_B.unsqueeze(-1)).sum(dim=1) for part_B in rows.of_part.T], dim=1
        )
        return torch.cat([rows.by_class(rows.right), told_VHC], dim=-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        import numpy as np

        classes = targets.counts.shape[1]
        either_VGC = sums_VGK[..., classes:] + targets.counts
        shares_VGC = 2 * sums_VGK[..., :classes] / np.maximum(either_VGC, 1)
        means: NDArray[np.float64] = shares_VGC.sum(axis=-1) / (either_VGC > 0).sum(axis=-1)
        return means
