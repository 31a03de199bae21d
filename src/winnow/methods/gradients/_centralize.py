"""Gradient centralization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.gradients._base import BaseGradientRule

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Centralize"]


class Centralize(BaseGradientRule):
    """Takes from the gradient of each unit's incoming weights their mean: of parameters of two axes
    or more, over all axes but the first.
    """

    shaped: ClassVar[bool] = True

    kind: Literal["centralize"] = "centralize"

    @staticmethod
    def apply_(grads: Sequence[Tensor]) -> None:
        """Centralize the gradient in place.

        Args:
            grads: one for each parameter, (variants, *shape); vectors are left alone.

        Source: Yong et al. 2020, "Gradient Centralization", equation 1, for weights of linear and
        convolutional layers as PyTorch lays them out, (outputs, inputs, ...).
        """
        for grad in grads:
            if grad.dim() > 2:  # V and at least two axes of its own
                grad.sub_(grad.mean(dim=tuple(range(2, grad.dim())), keepdim=True))
