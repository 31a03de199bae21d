"""The area under the ROC curve."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["ROCAUC"]


class ROCAUC(BaseMetric):
    """The share of pairs of a row of a class and a row of another in which the first has the higher
    score; equal scores count half (``sklearn.metrics.roc_auc_score``).

    Of two classes that of class 1; of more the mean over each class that occurs against the rest
    (``multi_class="ovr"``, ``average="macro"``). It is not defined where only one class occurs.
    """

    name: ClassVar[str] = "roc_auc"
    label: ClassVar[str] = "ROC AUC"
    aliases: ClassVar[tuple[str, ...]] = ("auc", "auroc", "roc")
    task = "classification"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    in_evaluation = True
    by_class = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        import numpy as np
        from sklearn import metrics

        present = np.unique(y)
        if len(present) < 2:
            return float("nan")
        if probabilities.shape[1] == 2:
            return float(metrics.roc_auc_score(y, probabilities[:, 1]))
        # `multi_class="ovr"` is this, but undefined when a class of the columns is not in `y`
        areas = [metrics.roc_auc_score(y == c, probabilities[:, c]) for c in present]
        return float(np.mean(areas))

    @staticmethod
    def pairs(y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        """Return what each row adds to the area, (rows,): twice the score in sum.

        A row of a class is placed by the share of the others that it lies above (equal counts
        half), one of another class by the share of the class that lies above it; both divided by
        the number of rows of their kind. Every pair is in two rows' parts. For more than two
        classes: of each class in ``y`` against the rest, the mean.

        Source: the placements of DeLong, DeLong and Clarke-Pearson 1988, by ranks.
        """
        import numpy as np
        from scipy import stats

        y = np.asarray(y)
        classes = [1] if probabilities.shape[1] == 2 else np.unique(y).tolist()
        parts = np.zeros(len(y))
        for c in classes:
            is_class = y == c
            score = np.asarray(probabilities[:, c], dtype=np.float64)
            ranks = stats.rankdata(score)
            for mine in (is_class, ~is_class):
                rows = int(mine.sum())
                others = len(y) - rows
                # Rows of the other kind below each: all below it, less those of its own kind
                below = ranks[mine] - stats.rankdata(score[mine])
                share = below / others
                if mine is not is_class:
                    share = 1 - share
                parts[mine] += share / (rows * len(classes))
        return parts

    @classmethod
    def row_parts(cls, y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        import numpy as np

        parts = cls.pairs(y, probabilities)
        class_n = np.unique(y, return_inverse=True)[1]
        means = np.bincount(class_n, parts) / np.bincount(class_n)
        centered: NDArray[np.float64] = len(y) * (parts - means[class_n])
        return centered

    @classmethod
    def effective_rows(cls, y: np.ndarray, probabilities: np.ndarray) -> float:
        """Return how many rows the area can stand for at the most.

        Source: for an area near 1, R. G. Newcombe 2006.
        """
        import numpy as np

        counts = np.unique(y, return_counts=True)[1]
        pairs = counts * (len(y) - counts)
        of_class = pairs / (1 + (len(y) / 2 - 1) / 2)
        if probabilities.shape[1] == 2:
            of_class = of_class[:1]  # both classes have the same pairs
        return float(len(of_class) ** 2 / (1 / of_class).sum())

    @staticmethod
    def of_a_constant(y: np.ndarray) -> float:
        return 0.5

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """Return by how much one validation row moves the score at most.

        The score is the mean area of the H halves, whose epochs differ, and a row is in one of
        them. A row of class c of n_c is in one of n_c equal shares of the area of c against the
        rest, and moves it by up to 1 / n_c. It is one of the n - n_k rows outside each other class
        k, and moves the area of k by up to 1 / (n - n_k). The score is the mean of the C areas: up
        to (1 / n_c + sum over k of 1 / (n - n_k)) / (C H). Of two classes that is 1 / (H n_c),
        which is reached when the row goes from behind all rows of the other class to before them.
        """
        halves = counts_HC()
        worth = 0.0
        for counts in halves:
            present = counts[counts > 0]
            # The area of a half with one class is 0.5, whatever is predicted
            if len(present) < 2:
                continue
            outside = 1 / (present.sum() - present)
            of_class = 1 / present + outside.sum() - outside
            worth = max(worth, float(of_class.max() / (len(present) * len(halves))))
        return worth

    @classmethod
    def of_all_rows(cls, kept_VNK: Tensor, targets_N: Tensor) -> Tensor:
        """Return the exact score of each member, by ranks and in double precision; 0.5, what a
        constant gets, where only one class occurs.
        """
        import torch

        columns = kept_VNK.shape[-1]
        areas = []
        for c in range(columns):
            is_class_N = targets_N == (1 if columns == 1 else c)
            inside = int(is_class_N.sum())
            if 0 < inside < len(targets_N):
                areas.append(_area(kept_VNK[..., c], is_class_N, inside))
        if not areas:
            return kept_VNK.new_full((len(kept_VNK),), 0.5, dtype=torch.float64)
        return torch.stack(areas).mean(dim=0)

    @staticmethod
    def kept_columns(classes: int) -> int:
        """Return 1 of two classes, of which one is the other's complement, and else all."""
        return 1 if classes == 2 else classes


def _area(scores_VN: Tensor, is_class_N: Tensor, inside: int) -> Tensor:
    """Return the area of each member, (V,): Mann and Whitney's U over the number of pairs, from
    the ranks of the rows of the class.
    """
    import torch

    scores_VN = scores_VN.double().contiguous()
    sorted_VN = scores_VN.sort(dim=1).values
    mine_VM = scores_VN[:, is_class_N].contiguous()
    # The mean rank of rows with equal scores, from 1
    below = torch.searchsorted(sorted_VN, mine_VM)
    up_to = torch.searchsorted(sorted_VN, mine_VM, right=True)
    rank_sums_V = ((below + up_to).double() / 2 + 0.5).sum(dim=1)
    outside = len(is_class_N) - inside
    return (rank_sums_V - inside * (inside + 1) / 2) / (inside * outside)
