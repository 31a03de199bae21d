"""Root mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import NumberRows, Targets

__all__ = ["RMSE"]


class RMSE(BaseMetric):
    """The root of the mean squared error, in units of the target
    (``sklearn.metrics.root_mean_squared_error``).
    """

    name: ClassVar[str] = "rmse"
    label: ClassVar[str] = "RMSE"
    task = "regression"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    in_target_units = True
    in_validation = True
    in_evaluation = True
    added_up = True
    root = 2

    @staticmethod
    def value(y: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn import metrics

        return float(metrics.root_mean_squared_error(y, prediction))

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = abs(prediction - y) ** 2
        return squares

    @staticmethod
    def sums(rows: NumberRows) -> Tensor:
        return rows.loss.unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        import numpy as np

        roots: NDArray[np.float64] = np.sqrt(sums_VGK[..., 0] / targets.rows) * targets.scale
        return roots
