"""Focal loss: cross-entropy that turns away from rows that are already right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.losses._base import BaseLoss
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Focal"]


class Focal(BaseLoss):
    """Cross-entropy weighted by ``(1 - p) ** gamma``, where p is the probability of the right
    class.

    It is meant for classes of very different sizes. Its probabilities are less sure than those of
    cross-entropy, so the log loss suffers.
    """

    task: ClassVar[Literal["classification"]] = "classification"
    soft_targets: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, float]] = {"gamma": 0.0}
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("gamma", 0.0, lambda now: f"focal weighting with gamma {now}"),
    )

    kind: Literal["focal"] = "focal"
    gamma: Open[NonNegative] = 2.0

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets: Tensor, *, gamma: Tensor | None = None) -> Tensor:
        """Return the loss of each row in nats, (variants, batch).

        Args:
            outputs_VBC: real numbers, (variants, batch, classes).
            targets: class indices, int64, (variants, batch), or probabilities of the classes,
                (variants, batch, classes), over which the loss is averaged.
            gamma: of each member, >= 0, (variants, 1); None: 0 for all, plain cross-entropy.

        Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, over the
        softmax of all classes and without class weights.
        """
        import torch

        if targets.is_floating_point():
            log_p_VBC = torch.log_softmax(outputs_VBC, dim=-1)
            if gamma is None:
                return -(targets * log_p_VBC).sum(dim=-1)
            missing_VBC = (-torch.expm1(log_p_VBC)).clamp(min=1e-12)
            return -(targets * missing_VBC ** gamma.unsqueeze(-1) * log_p_VBC).sum(dim=-1)
        logits, labels = outputs_VBC.flatten(0, 1), targets.flatten()
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        loss_VB = loss.view(targets.shape)
        if gamma is None:
            return loss_VB
        # 1 - exp(-loss) by expm1, which keeps its digits where the probability is near 1. The slope
        # of a power below 1 is infinite at 0, so the base is kept above it.
        missing_VB = (-torch.expm1(-loss_VB)).clamp(min=1e-12)
        return missing_VB**gamma * loss_VB
