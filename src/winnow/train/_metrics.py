"""Validation metrics of all members at once. Axes: V members, N rows, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["classification", "regression"]


def classification(logits_VNC: Tensor, labels_N: Tensor) -> dict[str, Tensor]:
    """Log loss in nats, accuracy and balanced accuracy (mean recall over the classes that occur), each (variants,)."""
    num_classes = logits_VNC.shape[-1]
    labels_VN = labels_N.expand(logits_VNC.shape[:2])
    log_probability = torch.log_softmax(logits_VNC.double(), dim=-1)
    log_loss = -log_probability.gather(-1, labels_VN.unsqueeze(-1)).squeeze(-1).mean(dim=1)
    right_VN = (logits_VNC.argmax(dim=-1) == labels_VN).double()
    one_hot_NC = torch.nn.functional.one_hot(labels_N, num_classes).double()
    counts_C = one_hot_NC.sum(dim=0)
    recall_VC = (right_VN @ one_hot_NC) / counts_C.clamp(min=1)
    return {
        "log_loss": log_loss,
        "accuracy": right_VN.mean(dim=1),
        "balanced_accuracy": recall_VC.sum(dim=1) / (counts_C > 0).sum(),
    }


def regression(outputs_VNC: Tensor, targets_N: Tensor, scale: float) -> dict[str, Tensor]:
    """Root mean squared and mean absolute error in units of the target, and R2, each (variants,).

    Args:
        outputs_VNC: standardised predictions, (variants, rows, 1).
        targets_N: standardised targets, (rows,).
        scale: units of the target in one standardised unit.
    """
    error_VN = outputs_VNC.squeeze(-1).double() - targets_N.double()
    mse_V = error_VN.square().mean(dim=1)
    spread = targets_N.double().var(correction=0)
    return {
        "rmse": mse_V.sqrt() * scale,
        "mae": error_VN.abs().mean(dim=1) * scale,
        "r2": 1 - mse_V / spread,
    }
