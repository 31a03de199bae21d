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
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("weight_decay", 0.0, lambda now: f"weight decay {now}"),
    )

    kind: Literal["adamw"] = "adamw"
    lr: Open[Positive] = 1e-3
    beta1: Open[BelowOne] = 0.9
    beta2: Open[BelowOne] = 0.999
    eps: Positive = 1e-8
    weight_decay: Open[NonNegative] = 0.01

    @classmethod
    def prepare(
        cls,
        *,
        lr: Tensor,
        beta1: Tensor,
        beta2: Tensor,
        eps: Tensor,
        weight_decay: Tensor,
        number: Tensor,
    ) -> dict[str, Tensor]:
        """Return what all parameters need alike.

        Args:
            lr: learning rate, as all settings (variants, 1).
            beta1: decay of the first moment, in [0, 1).
            beta2: decay of the second moment, in [0, 1).
            eps: added to the root of the second moment, > 0.
            weight_decay: multiplied by the learning rate, >= 0.
            number: of this step, from 1; corrects the moments' bias.
        """
        return {
            "shrink": 1 - lr * weight_decay,
            "beta2": beta2,
            "share1": 1 - beta1,
            "share2": 1 - beta2,
            "root2": (1 - beta2**number).sqrt(),
            "eps": eps,
            "rate": lr / (1 - beta1**number),
        }

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: State,
        *,
        shrink: Tensor,
        beta2: Tensor,
        share1: Tensor,
        share2: Tensor,
        root2: Tensor,
        eps: Tensor,
        rate: Tensor,
    ) -> None:
        """Update one parameter in place, from what ``prepare`` made.

        Args:
            param: parameters, (variants, ...); changed.
            grad: gradients, the same shape.
            state: ``first`` and ``second`` moments, the same shape; changed.
            shrink, beta2, share1, share2, root2, eps, rate: (variants, 1, ...).

        Source: Loshchilov & Hutter 2019, Algorithm 2, in the variant of ``torch.optim.AdamW``: the
        decay is multiplied by the learning rate.
        """
        first, second = state["first"], state["second"]
        param.mul_(shrink)
        first.lerp_(grad, share1.expand_as(grad))
        second.mul_(beta2).addcmul_(grad * share2, grad)
        denominator = (second.sqrt() / root2).add_(eps)
        param.sub_(first.div(denominator).mul_(rate))
