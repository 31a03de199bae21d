"""The exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.averaging._base import BaseAveraging
from winnow.spec import BelowOne, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EMA"]


class EMA(BaseAveraging):
    """The exponential moving average of the weights: ``decay`` is the share of the old average."""

    neutral: ClassVar[Mapping[str, float]] = {"decay": 0.0}

    kind: Literal["ema"] = "ema"
    decay: Open[BelowOne] = 0.999

    @staticmethod
    def update_(
        average: Tensor, param: Tensor, *, decay: Tensor, number: Tensor, num_steps: Tensor
    ) -> None:
        """Take the parameters after a step into the average, in place.

        Args:
            average: (variants, elements); changed.
            param: the parameters after the step, the same shape.
            decay: of each member, in [0, 1), (variants, 1); at 0 the average is the parameters.
            number: of this step, from 1: the first one begins the average.
            num_steps: unused.

        Source: Polyak and Juditsky 1992, with the weights of ``get_ema_multi_avg_fn`` of
        ``torch.optim.swa_utils``: without a correction for the beginning.
        """
        import torch

        weight_V1 = torch.where(number > 1, 1 - decay, 1.0)
        average.lerp_(param, weight_V1.expand_as(param))
