"""Average precision, the area under the precision-recall curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["AveragePrecision"]


class AveragePrecision(BaseMetric):
    """The mean, over the rows of a class, of the precision among all rows that score as high
    (``sklearn.metrics.average_precision_score``).

    Of two classes that of class 1; of more the mean over each class that occurs against the rest.
    It is not defined where class 1 of two does not occur.
    """

    name: ClassVar[str] = "average_precision"
    label: ClassVar[str] = "average precision"
    aliases: ClassVar[tuple[str, ...]] = ("ap", "pr_auc", "auprc")
    task = "classification"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        import numpy as np
        from sklearn import metrics

        classes = [1] if probabilities.shape[1] == 2 else np.unique(y).tolist()
        if not (y == classes[0]).any():
            return float("nan")
        found = []
        for c in classes:
            found.append(metrics.average_precision_score(y == c, probabilities[:, c]))
        return float(np.mean(found))

    @classmethod
    def effective_rows(cls, y: np.ndarray, probabilities: np.ndarray) -> float:
        """Return as many as the rows of the classes, which it is a mean over, allow."""
        import numpy as np

        counts = np.unique(y, return_counts=True)[1]
        if probabilities.shape[1] == 2:
            counts = np.array([max(int((y == 1).sum()), 1)])
        return float(len(counts) ** 2 / (1 / counts).sum())

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """Return by how much one validation row moves the score at most.

        The score is the mean of the H halves', and a row is in one of them. A row of a class of n
        rows that goes from behind all others to before them adds up to 1 / n itself and up to 1 /
        (k + 1) to the precision at the k-th before it: H_n / n in all, with the harmonic number. A
        row of another class takes up to 1 / (k + 1) from the precision at the k-th: (H_(n + 1) - 1)
        / n.
        """
        halves = counts_HC()
        worth = 0.0
        for counts in halves:
            present = [c for c, n in enumerate(counts.tolist()) if n]
            own = {c: _harmonic(counts[c]) / int(counts[c]) for c in present}
            other = {c: (_harmonic(counts[c] + 1) - 1) / int(counts[c]) for c in present}
            if len(counts) == 2:
                worth = max(worth, own.get(1, 0.0) / len(halves))
                continue
            for c in present:
                moved = own[c] + sum(other[k] for k in present if k != c)
                worth = max(worth, moved / (len(present) * len(halves)))
        return worth

    @classmethod
    def of_all_rows(cls, kept_VNK: Tensor, targets_N: Tensor) -> Tensor:
        """Return the exact score of each member, by ranks and in double precision; 0 where class 1
        of two does not occur.
        """
        import torch

        columns = kept_VNK.shape[-1]
        found = []
        for c in range(columns):
            is_class_N = targets_N == (1 if columns == 1 else c)
            if bool(is_class_N.any()):
                found.append(_precision(kept_VNK[..., c], is_class_N))
        if not found:
            return kept_VNK.new_zeros(len(kept_VNK), dtype=torch.float64)
        return torch.stack(found).mean(dim=0)

    @staticmethod
    def kept_columns(classes: int) -> int:
        """Return 1 of two classes, of which one is the other's complement, and else all."""
        return 1 if classes == 2 else classes


def _precision(scores_VN: Tensor, is_class_N: Tensor) -> Tensor:
    """Return the mean of the precisions at the score of each of the M rows of a class, (V,)."""
    import torch

    # torch.searchsorted warns of, and copies, what is not contiguous
    scores_VN = scores_VN.double().contiguous()
    mine_VM = scores_VN[:, is_class_N].contiguous()
    sorted_VN = scores_VN.sort(dim=1).values
    sorted_VM = mine_VM.sort(dim=1).values
    as_high_VM = scores_VN.shape[1] - torch.searchsorted(sorted_VN, mine_VM)
    of_class_VM = mine_VM.shape[1] - torch.searchsorted(sorted_VM, mine_VM)
    return (of_class_VM.double() / as_high_VM).mean(dim=1)


def _harmonic(n: int) -> float:
    """Return 1 + 1 / 2 + ... + 1 / n."""
    return sum(1 / k for k in range(1, n + 1))
