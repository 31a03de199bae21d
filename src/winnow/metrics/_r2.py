"""R2, the coefficient of determination."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import NumberRows, Targets

__all__ = ["R2"]


class R2(BaseMetric):
    """1 less the share of the variance of the targets that the squared errors are
    (``sklearn.metrics.r2_score``). It is not defined where all targets are the same.
    """

    name: ClassVar[str] = "r2"
    label: ClassVar[str] = "R²"
    task = "regression"
    higher_is_better = True
    bounds: ClassVar[tuple[float, float]] = (-float("inf"), 1.0)
    in_validation = True
    in_evaluation = True
    added_up = True

    @staticmethod
    def value(y: np.ndarray, prediction: np.ndarray) -> float:
        from sklearn import metrics

        if not y.max() > y.min():
            return float("nan")
        return float(metrics.r2_score(y, prediction))

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = abs(prediction - y) ** 2
        return squares

    @staticmethod
    def relative_to(y: np.ndarray) -> NDArray[np.float64]:
        squares: NDArray[np.float64] = (y - y.mean()) ** 2
        return squares

    @classmethod
    def row_parts(cls, y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        # The derivative of a ratio of two means
        errors = cls.per_row(y, prediction)
        squares = cls.relative_to(y)
        mse = errors.mean()
        spread = squares.mean()
        parts: NDArray[np.float64] = -(errors - mse) / spread + mse * (squares - spread) / spread**2
        return parts

    @staticmethod
    def sums(rows: NumberRows) -> Tensor:
        return rows.loss.unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        import numpy as np

        mse = sums_VGK[..., 0] / targets.rows
        with np.errstate(divide="ignore", invalid="ignore"):  # of a constant target
            shares: NDArray[np.float64] = 1 - mse / (targets.spread / targets.rows)
        return shares
