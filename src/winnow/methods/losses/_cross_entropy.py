"""Softmax cross-entropy, with label smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.losses._base import BaseLoss
from winnow.spec import BelowOne, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["CrossEntropy"]


class CrossEntropy(BaseLoss):
    """Softmax cross-entropy (``torch.nn.CrossEntropyLoss``); ``train.label_smoothing`` softens
    its targets.
    """

    task: ClassVar[Literal["classification"]] = "classification"
    soft_targets: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, float]] = {"label_smoothing": 0.0}

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Open[BelowOne] = 0.0

    @staticmethod
    def per_row(
        outputs_VBC: Tensor, targets: Tensor, *, label_smoothing: Tensor | None = None
    ) -> Tensor:
        """Return the loss of each row in nats, (variants, batch).

        The target of a row is ``1 - label_smoothing`` on its class plus ``label_smoothing / C`` on
        every class.

        Args:
            outputs_VBC: real numbers, (variants, batch, classes).
            targets: class indices, int64, (variants, batch), or probabilities of the classes,
                (variants, batch, classes).
            label_smoothing: of each member, in [0, 1), (variants, 1); None: 0 for all.

        Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7; the same as
        ``torch.nn.functional.cross_entropy(label_smoothing=...)``.
        """
        import torch

        if label_smoothing is None and not targets.is_floating_point():
            logits, labels = outputs_VBC.flatten(0, 1), targets.flatten()
            per_row = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            return per_row.view(targets.shape)
        num_classes = outputs_VBC.shape[-1]
        target_VBC = targets
        if not targets.is_floating_point():
            # A comparison with every class rather than a gather, whose backward pass is a scatter:
            # slow, and PyTorch 2.13 fails to compile some steps that hold one
            # (pytorch/pytorch#196570).
            classes = torch.arange(num_classes, device=targets.device)
            target_VBC = targets.unsqueeze(-1) == classes
        if label_smoothing is not None:
            smoothing = label_smoothing.unsqueeze(-1)  # (V, 1, 1)
            target_VBC = (1 - smoothing) * target_VBC + smoothing / num_classes
        return -(target_VBC * torch.log_softmax(outputs_VBC, dim=-1)).sum(dim=-1)
