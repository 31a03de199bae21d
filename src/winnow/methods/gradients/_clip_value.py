"""Clipping by value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.gradients._base import BaseGradientRule
from winnow.spec import Open, Positive

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ClipValue"]


class ClipValue(BaseGradientRule):
    """Clips every element of the gradient to ``[-max_value, max_value]``."""

    neutral: ClassVar[Mapping[str, float]] = {"max_value": math.inf}

    kind: Literal["clip_value"] = "clip_value"
    max_value: Open[Positive] = 1.0

    @staticmethod
    def apply_(grads: Sequence[Tensor], *, max_value: Tensor) -> None:
        """Clip the gradient in place.

        Args:
            grads: the gradient in one or more pieces, each (variants, elements of the piece).
            max_value: largest magnitude of an element, > 0; infinity leaves it alone,
                (variants, 1).

        Source: ``torch.nn.utils.clip_grad_value_``.
        """
        for grad in grads:
            grad.clamp_(-max_value, max_value)
