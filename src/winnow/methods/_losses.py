"""Losses of one batch per member. Axes: V members, B batch, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cross_entropy", "mean_squared_error"]


def cross_entropy(logits_VBC: Tensor, labels_VB: Tensor, smoothing_V: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy, smoothed, mean over the batch.

    The target of a row is ``1 - smoothing`` on its class plus ``smoothing / C`` on every class.

    Args:
        logits_VBC: real numbers, (variants, batch, classes).
        labels_VB: class indices, int64, (variants, batch).
        smoothing_V: label smoothing of each member, in [0, 1), (variants,); None: 0 for all.

    Returns:
        Loss of each member in nats, (variants,).

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7; the same as
    ``torch.nn.functional.cross_entropy(label_smoothing=...)``.
    """
    if smoothing_V is None:
        per_row = torch.nn.functional.cross_entropy(logits_VBC.flatten(0, 1), labels_VB.flatten(), reduction="none")
        return per_row.view(labels_VB.shape).mean(dim=-1)
    # A comparison with every class rather than a gather, whose backward pass is a scatter: slow, and PyTorch 2.13 fails to
    # compile some steps that hold one (pytorch/pytorch#196570).
    classes = torch.arange(logits_VBC.shape[-1], device=labels_VB.device)
    s = smoothing_V.view(-1, 1, 1)
    target_VBC = (1 - s) * (labels_VB.unsqueeze(-1) == classes) + s / logits_VBC.shape[-1]
    return -(target_VBC * torch.log_softmax(logits_VBC, dim=-1)).sum(dim=-1).mean(dim=-1)


def mean_squared_error(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
    """Mean squared error over the batch.

    Args:
        outputs_VBC: one output a row, (variants, batch, 1).
        targets_VB: (variants, batch).

    Returns:
        Loss of each member in squared units of the target, (variants,).
    """
    return (outputs_VBC.squeeze(-1) - targets_VB).square().mean(dim=-1)
