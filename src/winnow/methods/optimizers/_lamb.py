"""LAMB: Adam whose step is scaled to the size of each layer's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods._method import Switch
from winnow.methods.optimizers._base import BaseOptimizer, State
from winnow.spec import BelowOne, NonNegative, Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAMB"]


class LAMB(BaseOptimizer):
    """LAMB: Adam whose step in each parameter has the norm of that parameter, for large batches."""

    slots: ClassVar[tuple[str, ...]] = ("first", "second")
    switches: ClassVar[tuple[Switch, ...]] = (
        Switch("weight_decay", 0.0, lambda now: f"weight decay {now}"),
    )

    kind: Literal["lamb"] = "lamb"
    lr: Open[Positive] = 1e-2
    beta1: Open[BelowOne] = 0.9
    beta2: Open[BelowOne] = 0.999
    eps: Positive = 1e-6
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
            param: one parameter of every member, (variants, *shape); changed.
            grad: gradients, the same shape.
            state: ``first`` and ``second`` moments, the same shape; changed.
            lr: learning rate, as all settings (variants, 1, ...).
            beta1: decay of the first moment, in [0, 1).
            beta2: decay of the second moment, in [0, 1).
            eps: added to the root of the second moment, > 0.
            weight_decay: added to the step before it is scaled, >= 0.
            number: of this step, from 1; corrects the moments' bias.

        Source: You et al. 2020, "Large Batch Optimization for Deep Learning: Training BERT in 76
        minutes", Algorithm 2, with bias correction, phi the identity, and a ratio of 1 where either
        norm is 0.
        """
        import torch

        first, second = state["first"], state["second"]
        first.lerp_(grad, (1 - beta1).expand_as(grad))
        second.mul_(beta2).addcmul_(grad * (1 - beta2), grad)
        denominator = (second / (1 - beta2**number)).sqrt().add_(eps)
        step = first / (1 - beta1**number) / denominator + weight_decay * param
        axes = tuple(range(1, param.dim()))
        # A parameter of no axes is its own norm.
        param_norm = (
            torch.linalg.vector_norm(param, dim=axes, keepdim=True) if axes else param.abs()
        )
        step_norm = torch.linalg.vector_norm(step, dim=axes, keepdim=True) if axes else step.abs()
        both = (param_norm > 0) & (step_norm > 0)
        ratio = torch.where(both, param_norm / step_norm.clamp(min=1e-30), 1.0)
        param.sub_(lr * ratio * step)
