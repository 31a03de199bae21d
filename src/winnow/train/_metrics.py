"""Validation metrics of all members at once, added up piece by piece so that no more than a piece is held.

Axes: V members, B rows of a piece, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

__all__ = ["BaseTally", "Classification", "Regression"]


class BaseTally(ABC):
    """Sums over the rows that were added."""

    @abstractmethod
    def add(self, outputs_VBC: Tensor, targets_B: Tensor) -> None:
        """Count some rows in: the members' outputs for them, and their targets."""

    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """Metrics of all rows that were added, by name, each (variants,) in double precision."""


class Classification(BaseTally):
    """Log loss in nats, accuracy and balanced accuracy (mean recall over the classes that occur), of logits and labels."""

    def __init__(self) -> None:
        self._loss_V: Tensor | float = 0.0
        self._right_VC: Tensor | float = 0.0
        self._counts_C: Tensor | float = 0.0

    def add(self, outputs_VBC: Tensor, targets_B: Tensor) -> None:
        labels_VB = targets_B.expand(outputs_VBC.shape[:2])
        log_probability = torch.log_softmax(outputs_VBC.double(), dim=-1)
        self._loss_V = self._loss_V - log_probability.gather(-1, labels_VB.unsqueeze(-1)).squeeze(-1).sum(dim=1)
        one_hot_BC = torch.nn.functional.one_hot(targets_B, outputs_VBC.shape[-1]).double()
        self._right_VC = self._right_VC + (outputs_VBC.argmax(dim=-1) == labels_VB).double() @ one_hot_BC
        self._counts_C = self._counts_C + one_hot_BC.sum(dim=0)

    def values(self) -> dict[str, Tensor]:
        loss_V, right_VC, counts_C = (torch.as_tensor(t) for t in (self._loss_V, self._right_VC, self._counts_C))
        return {
            "log_loss": loss_V / counts_C.sum(),
            "accuracy": right_VC.sum(dim=1) / counts_C.sum(),
            "balanced_accuracy": (right_VC / counts_C.clamp(min=1)).sum(dim=1) / (counts_C > 0).sum(),
        }


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
