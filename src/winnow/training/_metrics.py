"""Validation metrics of all members at once, added up piece by piece so that no more than a piece
is held.

The area under the ROC curve is the exception: it compares every row with every other, so the rows'
probabilities are kept.

What is added up is apart for each part of the rows, because the halves of the validation rows
choose each other's epoch. Sums of different rows, also of different epochs, add up to those of all
of them; metrics are made from sums.

Axes: V members, B rows of a piece, N all rows, H parts of the rows, G groups of parts, C classes, K
sums.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from winnow.recipe import Task

__all__ = [
    "BaseTally",
    "Classification",
    "Metrics",
    "Regression",
    "membership",
    "open_tally",
    "ranks_bytes",
    "roc_auc",
]

Metrics = dict[str, NDArray[np.float64]]


class BaseTally(ABC):
    """Sums over the rows that were added.

    Args:
        parts: of the rows that are added up apart.
    """

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self._sums_VHK: Tensor | float = 0.0

    def add(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor | None = None) -> None:
        """Count some rows in.

        Args:
            outputs_VBC: the members' outputs for them.
            targets_B: their targets.
            of_part_BH: 1 where a row is of a part, else 0, in double precision (see
                ``membership``); None: all are of the first.
        """
        if of_part_BH is None:
            of_part_BH = membership(torch.zeros_like(targets_B, dtype=torch.int64), self.parts)
        self._sums_VHK = self._sums_VHK + self._add(outputs_VBC, targets_B, of_part_BH)

    def sums(self) -> Tensor:
        """What metrics are made of: of each part and, behind them, of all together where there are
        several, (variants, groups, sums) in double precision. ``groups`` says which parts are in
        each.
        """
        sums_VHK = torch.as_tensor(self._sums_VHK)
        return (
            sums_VHK
            if self.parts == 1
            else torch.cat([sums_VHK, sums_VHK.sum(dim=1, keepdim=True)], dim=1)
        )

    @property
    def groups(self) -> list[list[int]]:
        """The parts that make up each group of ``sums``; the last has all."""
        return [[h] for h in range(self.parts)] + (
            [list(range(self.parts))] if self.parts > 1 else []
        )

    @abstractmethod
    def metrics(self, sums_VGK: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> Metrics:
        """Metrics by name, each (variants, groups), and under ``loss`` the training loss's kind
        without smoothing.

        Args:
            sums_VGK: added over the parts of each group, whose rows may be of different epochs.
            groups: the parts.
        """

    @abstractmethod
    def _add(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> Tensor:
        """Sums over the rows, (variants, parts, sums); remembers what metrics need to know of
        the targets.
        """


def membership(part_N: Tensor, parts: int) -> Tensor:
    """1 where a row is of a part, else 0, (rows, parts) in double precision, of the part of
    each row.
    """
    return (part_N.unsqueeze(1) == torch.arange(parts, device=part_N.device)).double()


class Classification(BaseTally):
    """Log loss in nats, accuracy and balanced accuracy (mean recall over the classes that occur),
    of logits and labels.

    The sums are the log loss, the rows of each class that were told rightly and, with ``ranks``,
    the area: no sum over rows, so that of several parts together, at epochs of their own, is the
    mean of theirs.

    Args:
        parts: of the rows that are added up apart.
        ranks: the area under the ROC curve as well (see ``roc_auc``), for which the probabilities
            of all rows are kept.
    """

    def __init__(self, parts: int = 1, *, ranks: bool = False) -> None:
        super().__init__(parts)
        self._ranks = ranks
        # Of each piece: probabilities (V, B, C), labels, parts (B, H)
        self._kept: list[tuple[Tensor, Tensor, Tensor]] = []
        self._counts_HC: Tensor | float = 0.0

    def _add(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> Tensor:
        classes = outputs_VBC.shape[-1]
        labels_VB = targets_B.expand(outputs_VBC.shape[:2])
        log_probability = torch.log_softmax(outputs_VBC.double(), dim=-1)
        loss_VB = -log_probability.gather(-1, labels_VB.unsqueeze(-1)).squeeze(-1)
        loss_VH = _by_part(loss_VB, of_part_BH)
        if self._ranks:  # of two classes one is the other's complement
            first = 1 if classes == 2 else 0
            self._kept.append((log_probability[..., first:].exp(), targets_B, of_part_BH))
        is_class_BC = targets_B.unsqueeze(1) == torch.arange(classes, device=targets_B.device)
        # counts of rows: exact, in whatever order they are added
        key_BHC = of_part_BH.unsqueeze(2) * is_class_BC.unsqueeze(1)
        right_VB = (outputs_VBC.argmax(dim=-1) == labels_VB).double()
        right_VHC = (right_VB @ key_BHC.flatten(1)).view(len(outputs_VBC), self.parts, classes)
        self._counts_HC = self._counts_HC + key_BHC.sum(dim=0)
        return torch.cat([loss_VH.unsqueeze(-1), right_VHC], dim=-1)

    def sums(self) -> Tensor:
        sums_VGK = super().sums()
        if not self._ranks:
            return sums_VGK
        p_VNC, y_N, of_part_NH = self._all_kept()
        masks = [column_N > 0 for column_N in of_part_NH.unbind(dim=1)] if self.parts > 1 else []
        areas = [roc_auc(p_VNC[:, mask_N], y_N[mask_N]) for mask_N in masks]
        areas.append(roc_auc(p_VNC, y_N) * self.parts)  # as if added over the parts
        return torch.cat([sums_VGK, torch.stack(areas, dim=1).unsqueeze(-1)], dim=-1)

    def _all_kept(self) -> tuple[Tensor, Tensor, Tensor]:
        if len(self._kept) > 1:
            p, y, of_part = zip(*self._kept, strict=True)
            # So that the pieces are let go
            self._kept = [(torch.cat(p, dim=1), torch.cat(y), torch.cat(of_part))]
        return self._kept[0]

    def metrics(self, sums_VGK: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> Metrics:
        counts_HC = torch.as_tensor(self._counts_HC).cpu().numpy()
        counts_GC = np.stack([counts_HC[group].sum(axis=0) for group in groups])
        rows_G = counts_GC.sum(axis=1)
        right_VGC = sums_VGK[..., 1 : 1 + counts_GC.shape[1]]
        log_loss = sums_VGK[..., 0] / rows_G
        found = {
            "log_loss": log_loss,
            "accuracy": right_VGC.sum(axis=-1) / rows_G,
            "balanced_accuracy": (right_VGC / np.maximum(counts_GC, 1)).sum(axis=-1)
            / (counts_GC > 0).sum(axis=1),
            "loss": log_loss,
        }
        if self._ranks:
            found["roc_auc"] = sums_VGK[..., -1] / [len(group) for group in groups]
        return found


def roc_auc(scores_VNC: Tensor, targets_N: Tensor) -> Tensor:
    """Area under the ROC curve of each member, (variants,): the share of pairs of a row of a class
    and a row of another in which the first has the higher score; equal scores count half. Exact: by
    ranks, in double precision.

    One column of scores is that of class 1 of two. More are one for each class: each against the
    rest, and the mean over the classes that occur. 0.5, what a constant gets, where only one class
    occurs.

    ``sklearn.metrics.roc_auc_score`` (``multi_class="ovr"``, ``average="macro"``), where all
    classes occur.
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
    """(V,) From the ranks of the rows of the class: Mann and Whitney's U over the number of
    pairs.
    """
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

    The probabilities in pieces and once more as one tensor, then for one class at a time its
    scores, the sorted ones with their places, and ranks of the rows inside it, all of eight bytes.
    """
    columns = 1 if classes == 2 else classes
    return 8 * rows * (2 * columns + 7)


class Regression(BaseTally):
    """Root mean squared and mean absolute error in units of the target, and R2, of standardized
    predictions and targets.

    The sums are those of squared and of absolute errors.

    Args:
        scale: units of the target in one standardized unit.
        parts: of the rows that are added up apart.
    """

    def __init__(self, scale: float, parts: int = 1) -> None:
        super().__init__(parts)
        self._scale = scale
        self._targets_3H: Tensor | None = None

    def _add(self, outputs_VBC: Tensor, targets_B: Tensor, of_part_BH: Tensor) -> Tensor:
        y_B = targets_B.double()
        rows_H = of_part_BH.sum(dim=0)
        mean_H = _by_part(y_B.unsqueeze(0), of_part_BH)[0] / rows_H.clamp(min=1)
        spread_H = ((y_B.unsqueeze(1) - mean_H).square() * of_part_BH).sum(dim=0)
        piece_3H = torch.stack([rows_H, mean_H, spread_H])
        self._targets_3H = (
            piece_3H if self._targets_3H is None else _merged(self._targets_3H, piece_3H)
        )
        error_VB = outputs_VBC.squeeze(-1).double() - y_B
        return torch.stack(
            [_by_part(error_VB.square(), of_part_BH), _by_part(error_VB.abs(), of_part_BH)], dim=-1
        )

    def metrics(self, sums_VGK: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> Metrics:
        assert self._targets_3H is not None
        targets_3H = self._targets_3H.cpu()
        targets_3G = torch.stack(
            [functools.reduce(_merged, targets_3H[:, group].unbind(dim=1)) for group in groups],
            dim=1,
        )
        rows_G, _, spread_G = targets_3G.numpy()
        mse = sums_VGK[..., 0] / rows_G
        # Of a constant target R2 is not defined
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = 1 - mse / (spread_G / rows_G)
        return {
            "rmse": np.sqrt(mse) * self._scale,
            "mae": sums_VGK[..., 1] / rows_G * self._scale,
            "r2": r2,
            "loss": mse,
        }


def open_tally(task: Task, metric: str, *, scale: float = 1.0, parts: int = 1) -> BaseTally:
    """The tally of a task and of what it is to score; ``scale`` is a regression's, ``parts``
    those of the rows.
    """
    return (
        Classification(parts, ranks=metric == "roc_auc")
        if task == "classification"
        else Regression(scale, parts)
    )


def _by_part(values_VB: Tensor, of_part_BH: Tensor) -> Tensor:
    """Sums over the rows of each part, (variants, parts).

    Not by a matrix product, whose order of adding may depend on V.
    """
    return torch.stack(
        [(values_VB * of_part_B).sum(dim=1) for of_part_B in of_part_BH.unbind(dim=1)], dim=1
    )


def _merged(a: Tensor, b: Tensor) -> Tensor:
    """Number, mean and sum of squared distances from the mean, (3, ...), of the rows of both.

    Source: Chan, Golub and LeVeque (1983); sums of squares would cancel where the mean is large.
    """
    total = a[0] + b[0]
    share = b[0] / total.clamp(min=1)
    shift = b[1] - a[1]
    return torch.stack([total, a[1] + shift * share, a[2] + b[2] + shift.square() * a[0] * share])
