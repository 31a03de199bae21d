"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from winnow.errors import Problem, RecipeError
from winnow.methods._method import Switch
from winnow.methods.optimizers._base import BaseOptimizer, State
from winnow.spec import BelowOne, Choice, Flag, NonNegative, Open, Positive, is_range

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SGD"]


class SGD(BaseOptimizer):
    """Stochastic gradient descent with momentum (``torch.optim.SGD``; L2 ``weight_decay`` is
    added to the gradient).
    """

    elementwise: ClassVar[bool] = True
    slots: ClassVar[tuple[str, ...]] = ("momentum",)
    neutral: ClassVar[Mapping[str, float]] = {"nesterov": 0.0, "weight_decay": 0.0}
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("momentum", 0.0, lambda now: f"momentum {now}"),
        Switch("nesterov", False, lambda _: "Nesterov momentum"),
        Switch("weight_decay", 0.0, lambda now: f"weight decay {now}"),
    )

    kind: Literal["sgd"] = "sgd"
    lr: Open[Positive] = 0.1
    momentum: Open[BelowOne] = 0.9
    nesterov: Open[Flag] = False
    weight_decay: Open[NonNegative] = 0.0

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        choices = self.nesterov.options if isinstance(self.nesterov, Choice) else ()
        may_be_on = self.nesterov is True or True in choices
        if may_be_on and _can_be_zero(self.momentum):
            message = "needs momentum above 0, and momentum is or may become 0"
            raise RecipeError(Problem("nesterov", message))
        return self

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: State,
        *,
        lr: Tensor,
        momentum: Tensor,
        nesterov: Tensor | None = None,
        weight_decay: Tensor | None = None,
        number: Tensor,
    ) -> None:
        """Update one parameter in place.

        ``g = grad + weight_decay * p``; ``m = momentum * m + g``; the update is ``m``, or
        ``g + momentum * m`` with Nesterov.

        Args:
            param: parameters, (variants, ...); changed.
            grad: gradients, the same shape; overwritten.
            state: ``momentum``, the same shape; changed.
            lr: learning rate, as all settings (variants, 1, ...).
            momentum: in [0, 1).
            nesterov: 1 or 0; None: 0 for all.
            weight_decay: L2 strength added to the gradient; None: 0 for all.
            number: of this step, from 1; unused.

        Source: Sutskever et al. 2013 in the variant of ``torch.optim.SGD`` (no dampening; the rate
        multiplies the whole momentum).
        """
        buffer = state["momentum"]
        if weight_decay is not None:
            grad.addcmul_(param, weight_decay)
        buffer.mul_(momentum).add_(grad)
        if nesterov is None:
            param.addcmul_(buffer, -lr)
            return
        # update = nesterov ? grad + momentum * buffer : buffer, without a branch
        param.addcmul_(buffer, -lr * (1 + nesterov * (momentum - 1)))
        param.addcmul_(grad, -lr * nesterov)


def _can_be_zero(value: Any) -> bool:
    if isinstance(value, Choice):
        return 0 in value.options
    return (value.low if is_range(value) else value) == 0
