"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.optimizers._base import BaseOptimizer, State
from winnow.spec import BelowOne, NonNegative, Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Lion"]


class Lion(BaseOptimizer):
    """Lion: the sign of an interpolated momentum, with decoupled weight decay.

    Every element moves by the same amount, so good rates are three to ten times smaller than
    AdamW's, and weight decay as much larger.
    """

    elementwise: ClassVar[bool] = True
    slots: ClassVar[tuple[str, ...]] = ("momentum",)
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("weight_decay", 0.0, lambda now: f"weight decay {now}"),
    )

    kind: Literal["lion"] = "lion"
    lr: Open[Positive] = 1e-4
    beta1: Open[BelowOne] = 0.9
    beta2: Open[BelowOne] = 0.99
    weight_decay: Open[NonNegative] = 0.0

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: State,
        *,
        lr: Tensor,
        beta1: Tensor,
        beta2: Tensor,
        weight_decay: Tensor,
        number: Tensor,
    ) -> None:
        """Update one parameter in place.

        Args:
            param: parameters, (variants, ...); changed.
            grad: gradients, the same shape.
            state: ``momentum``, the same shape; changed.
            lr: learning rate, as all settings (variants, 1, ...).
            beta1: weight of the momentum in the update, in [0, 1).
            beta2: decay of the momentum, in [0, 1).
            weight_decay: multiplied by the learning rate, >= 0.
            number: of this step, from 1; unused.

        Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", Algorithm 2.
        """
        momentum = state["momentum"]
        update = momentum.lerp(grad, (1 - beta1).expand_as(grad)).sign_()
        param.mul_(1 - lr * weight_decay).sub_(update.mul_(lr))
        momentum.lerp_(grad, (1 - beta2).expand_as(grad))
