"""Mean absolute percentage error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import NumberRows, Targets

__all__ = ["MAPE"]


class MAPE(BaseMetric):
    """The mean of the absolute errors, each as a share of its target's size: 0.1 is ten percent
    (``sklearn.metrics.mean_absolute_percentage_error``).

    A target of 0 makes it enormous.
    """

    name: ClassVar[str] = "mape"
    label: ClassVar[str] = "MAPE"
    task = "regression"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    added_up = True
    best_constant: ClassVar[Literal["median"]] = "median"

    @classmethod
    def value(cls, y: np.ndarray, prediction: np.ndarray) -> float:
        return float(cls.per_row(y, prediction).mean())

    @staticmethod
    def per_row(y: np.ndarray, prediction: np.ndarray) -> NDArray[np.float64]:
        import numpy as np

        least = np.finfo(np.float64).eps  # as in scikit-learn
        shares: NDArray[np.float64] = abs(prediction - y) / np.maximum(abs(y), least)
        return shares

    @staticmethod
    def sums(rows: NumberRows) -> Tensor:
        import torch

        size_B = (rows.y * rows.scale + rows.center).abs()
        least = torch.finfo(torch.float64).eps
        share_VB = rows.error.abs() * rows.scale / size_B.clamp(min=least)
        return rows.by_part(share_VB).unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        means: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows
        return means
