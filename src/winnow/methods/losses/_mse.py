"""Squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.losses._base import BaseLoss

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MSE"]


class MSE(BaseLoss):
    """Mean squared error of the standardized target (``torch.nn.MSELoss``)."""

    task: ClassVar[Literal["regression"]] = "regression"

    kind: Literal["mse"] = "mse"

    @staticmethod
    def per_row(outputs_VBC: Tensor, targets_VB: Tensor) -> Tensor:
        """Return the squared error of each row, (variants, batch).

        Args:
            outputs_VBC: one output a row, (variants, batch, 1).
            targets_VB: (variants, batch).
        """
        return (outputs_VBC.squeeze(-1) - targets_VB).square()
