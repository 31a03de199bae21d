"""Mean absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import NumberRows, Targets

__all__ = ["MAE"]


class MAE(BaseMetric):
    """The mean absolute error, in units of the target (``sklearn.metrics.mean_absolute_error``)."""

    name: ClassVar[str] = "mae"
    label: ClassVar[str] = "MAE"
    task = "regression"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    in_target_units = True
    in_validation = True
    in_evaluation = True
    added_up = True
    best_constant: ClassVar[Literal["median"]] = "median"

    @staticmethod
    def value(y: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn import metrics

        return float(metrics.mean_absolute_error(y, prediction))

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        sizes: NDArray[np.float64] = abs(prediction - y)
        return sizes

    @staticmethod
    def sums(rows: NumberRows) -> Tensor:
        return rows.by_part(rows.error.abs()).unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        sizes: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows * targets.scale
        return sizes
