"""Adam with decoupled weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.optimizers._base import BaseOptimizer, State
from winnow.spec import BelowOne, NonNegative, Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AdamW"]


class AdamW(BaseOptimizer):
    """Adam with decoupled weight decay (``torch.optim.AdamW``)."""

    elementwise: ClassVar[bool] = True
    slots: ClassVar[tuple[str, ...]] = ("first", "second")
    switches: ClassVar[tuple[Switch, ...]] = (Switch("weight_decay", 0.0, lambda now: f"weight decay {now}"),)

    kind: Literal["adamw"] = "adamw"
    lr: Open[Positive] = 1e-3
    beta1: Open[BelowOne] = 0.9
    beta2: Open[BelowOne] = 0.999
    eps: Positive = 1e-8
    weight_decay: Open[NonNegative] = 0.01

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: State,
        *,
        lr: Tensor,
        beta1: Tensor,
        beta2: Tensor,
        eps: Tensor,
        weight_decay: Tensor,
        number: Tensor,
    ) -> None:
        """Update one parameter in place.

        Args:
            param: parameters, (variants, ...); changed.
            grad: gradients, the same shape.
            state: ``first`` and ``second`` moments, the same shape; changed.
            lr: learning rate, as all settings (variants, 1, ...).
            beta1: decay of the first moment, in [0, 1).
            beta2: decay of the second moment, in [0, 1).
            eps: added to the root of the second moment, > 0.
            weight_decay: multiplied by the learning rate, >= 0.
            number: of this step, from 1; corrects the moments' bias.

        Source: Loshchilov & Hutter 2019, Algorithm 2, in the variant of ``torch.optim.AdamW``: the
        decay is multiplied by the learning rate.
        """
        first, second = state["first"], state["second"]
        param.mul_(1 - lr * weight_decay)
        first.lerp_(grad, (1 - beta1).expand_as(grad))
        second.mul_(beta2).addcmul_(grad * (1 - beta2), grad)
        denominator = (second.sqrt() / (1 - beta2**number).sqrt()).add_(eps)
        param.sub_(first.div(denominator).mul_(lr / (1 - beta1**number)))
