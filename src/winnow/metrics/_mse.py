"""Mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import NumberRows, Targets

__all__ = ["MSE"]


class MSE(BaseMetric):
    """The mean squared error, in squared units of the target
    (``sklearn.metrics.mean_squared_error``).
    """

    name: ClassVar[str] = "mse"
    label: ClassVar[str] = "MSE"
    task = "regression"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    in_target_units = True
    in_evaluation = True
    added_up = True

    @staticmethod
    def value(y: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn import metrics

        return float(metrics.mean_squared_error(y, prediction))

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = abs(prediction - y) ** 2
        return squares

    @staticmethod
    def sums(rows: NumberRows) -> Tensor:
        return rows.loss.unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows * targets.scale**2
        return squares
