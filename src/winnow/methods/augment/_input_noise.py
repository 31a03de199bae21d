"""Gaussian noise on the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.augment._base import BaseAugment, Uniform
from winnow.spec import NonNegative, Open

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["InputNoise"]


class InputNoise(BaseAugment):
    """Adds normal noise of deviation ``sd`` to every feature, in the units that the model sees."""

    neutral: ClassVar[Mapping[str, float]] = {"sd": 0.0}

    kind: Literal["input_noise"] = "input_noise"
    sd: Open[NonNegative] = 0.1

    @staticmethod
    def apply(
        x_VBF: Tensor, targets: Tensor, uniform: Uniform, *, sd: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the batch with noise.

        Args:
            x_VBF: rows, (variants, batch, ...).
            targets: of any form; returned as they are.
            uniform: gives the random numbers.
            sd: deviation of each member, (variants, 1).

        Source: Bishop 1995, "Training with Noise is Equivalent to Tikhonov Regularization"; normal
        numbers by the inverse of the distribution function.
        """
        normal = (2 * uniform(*x_VBF.shape[1:]) - 1).erfinv() * math.sqrt(2)
        return x_VBF + sd.view(-1, *[1] * (x_VBF.dim() - 1)) * normal, targets
