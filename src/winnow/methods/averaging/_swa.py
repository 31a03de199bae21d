"""Stochastic weight averaging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winnow.methods.averaging._base import BaseAveraging
from winnow.spec import BelowOne, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SWA"]


class SWA(BaseAveraging):
    """The mean of the weights after each step behind the share ``start`` of the training.

    Before, it is the weights themselves.
    """

    kind: Literal["swa"] = "swa"
    start: Open[BelowOne] = 0.75

    @staticmethod
    def update_(
        average: Tensor, param: Tensor, *, start: Tensor, number: Tensor, num_steps: Tensor
    ) -> None:
        """Take the parameters after a step into the average, in place.

        Args:
            average: (variants, elements); changed.
            param: the parameters after the step, the same shape.
            start: share of the steps before the first that counts, in [0, 1), (variants, 1);
                rounded down to a whole step.
            number: of this step, from 1.
            num_steps: of the training of each member, (variants, 1).

        Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better
        Generalization", Algorithm 1 with a cycle of one step and the learning rate of the schedule;
        ``torch.optim.swa_utils.AveragedModel``, updated after each step.
        """
        counted_V1 = number - (start * num_steps).floor()
        average.lerp_(param, (1 / counted_V1.clamp(min=1)).expand_as(param))
