"""Validation metrics of all members at once, added up piece by piece so that no more than a piece is held.

The area under the ROC curve is the exception: it compares every row with every other, so the rows' probabilities are kept.

Axes: V members, B rows of a piece, N all rows, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["BaseTally", "Classification", "Regression", "ranks_bytes", "roc_auc"]


class BaseTally(ABC):
    """Sums over the rows that were added."""

    @abstractmethod
    def add(self, outputs_VBC: Tensor, targets_B: Tensor) -> None:
        """Count some rows in: the members' outputs for them, and their targets."""

    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """Metrics of all rows that were added, by name, each (variants,) in double precision."""


class Classification(BaseTally):
    """Log loss in nats, accuracy and balanced accuracy (mean recall over the classes that occur), of logits and labels.

    Args:
        ranks: the area under the ROC curve as well (see ``roc_auc``), for which the probabilities of all rows are kept.
    """

    def __init__(self, *, ranks: bool = False) -> None:
        self._ranks = ranks
        self._kept_VBC: list[Tensor] = []
        self._labels_B: list[Tensor] = []
        self._loss_V: Tensor | float = 0.0
        self._right_VC: Tensor | float = 0.0
        self._counts_C: Tensor | float = 0.0

    def add(self, outputs_VBC: Tensor, targets_B: Tensor) -> None:
        labels_VB = targets_B.expand(outputs_VBC.shape[:2])
        log_probability = torch.log_softmax(outputs_VBC.double(), dim=-1)
        self._loss_V = self._loss_V - log_probability.gather(-1, labels_VB.unsqueeze(-1)).squeeze(-1).sum(dim=1)
        if self._ranks:  # of two classes one is the other's complement
            first = 1 if outputs_VBC.shape[-1] == 2 else 0
            self._kept_VBC.append(log_probability[..., first:].exp())
            self._labels_B.append(targets_B)
        one_hot_BC = torch.nn.functional.one_hot(targets_B, outputs_VBC.shape[-1]).double()
        self._right_VC = self._right_VC + (outputs_VBC.argmax(dim=-1) == labels_VB).double() @ one_hot_BC
        self._counts_C = self._counts_C + one_hot_BC.sum(dim=0)

    def values(self) -> dict[str, Tensor]:
        loss_V, right_VC, counts_C = (torch.as_tensor(t) for t in (self._loss_V, self._right_VC, self._counts_C))
        found = {
            "log_loss": loss_V / counts_C.sum(),
            "accuracy": right_VC.sum(dim=1) / counts_C.sum(),
            "balanced_accuracy": (right_VC / counts_C.clamp(min=1)).sum(dim=1) / (counts_C > 0).sum(),
        }
        if self._ranks:
            found["roc_auc"] = roc_auc(torch.cat(self._kept_VBC, dim=1), torch.cat(self._labels_B))
        return found


def roc_auc(scores_VNC: Tensor, targets_N: Tensor) -> Tensor:
    """Area under the ROC curve of each member, (variants,): the share of pairs of a row of a class and a row of another in
    which the first has the higher score; equal scores count half. Exact: by ranks, in double precision.

    One column of scores is that of class 1 of two. More are one for each class: each against the rest, and the mean over the
    classes that occur. 0.5, what a constant gets, where only one class occurs.

    ``sklearn.metrics.roc_auc_score`` (``multi_class="ovr"``, ``average="macro"``), where all classes occur.
    """
    columns = scores_VNC.shape[-1]
    areas = []
    for c in range(columns):
        is_class_N = targets_N == (1 if columns == 1 else c)
        inside = int(is_class_N.sum())
        if 0 < inside < len(targets_N):
            areas.append(_area(scores_VNC[..., c], is_class_N, inside))
    if not areas:
        return scores_VNC.new_full((len(scores_VNC),), 0.5, dtype=torch.float64)
    return torch.stack(areas).mean(dim=0)


def _area(scores_VN: Tensor, is_class_N: Tensor, inside: int) -> Tensor:
    """(V,) From the ranks of the rows of the class: Mann and Whitney's U over the number of pairs."""
    scores_VN = scores_VN.double().contiguous()
    sorted_VN = scores_VN.sort(dim=1).values
    mine_VM = scores_VN[:, is_class_N].contiguous()
    # the mean rank of rows with equal scores, from 1
    below = torch.searchsorted(sorted_VN, mine_VM)
    up_to = torch.searchsorted(sorted_VN, mine_VM, right=True)
    rank_sums_V = ((below + up_to).double() / 2 + 0.5).sum(dim=1)
    outside = len(is_class_N) - inside
    return (rank_sums_V - inside * (inside + 1) / 2) / (inside * outside)


def ranks_bytes(rows: int, classes: int) -> int:
    """What ``Classification(ranks=True)`` holds for one member at most, in bytes.

    The probabilities in pieces and once more as one tensor, then for one class at a time its scores, the sorted ones with their
    places, and ranks of the rows inside it, all of eight bytes.
    """
    columns = 1 if classes == 2 else classes
    return 8 * rows * (2 * columns + 7)


class Regression(BaseTally):
    """Root mean squared and mean absolute error in units of the target, and R2, of standardised predictions and targets.

    Args:
        scale: units of the target in one standardised unit.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._rows = 0
        self._squares_V: Tensor | float = 0.0
        self._sizes_V: Tensor | float = 0.0
        self._mean = torch.zeros((), dtype=torch.float64)  # of the targets
        self._spread = torch.zeros((), dtype=torch.float64)  # sum of their squared distances from it

    def add(self, outputs_VBC: Tensor, targets_B: Tensor) -> None:
        y_B = targets_B.double()
        error_VB = outputs_VBC.squeeze(-1).double() - y_B
        self._squares_V = self._squares_V + error_VB.square().sum(dim=1)
        self._sizes_V = self._sizes_V + error_VB.abs().sum(dim=1)
        # Chan, Golub and LeVeque (1983): sums of squares would cancel where the mean is large
        rows, mean = len(y_B), y_B.mean()
        shift = mean - self._mean
        total = self._rows + rows
        self._spread = self._spread + (y_B - mean).square().sum() + shift.square() * (self._rows * rows / total)
        self._mean = self._mean + shift * (rows / total)
        self._rows = total

    def values(self) -> dict[str, Tensor]:
        mse_V = torch.as_tensor(self._squares_V) / self._rows
        return {
            "rmse": mse_V.sqrt() * self._scale,
            "mae": torch.as_tensor(self._sizes_V) / self._rows * self._scale,
            "r2": 1 - mse_V / (self._spread / self._rows),
        }
