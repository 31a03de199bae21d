"""The Brier score."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["Brier"]


class Brier(BaseMetric):
    """Half the mean squared distance of the probabilities from the right answer
    (``sklearn.metrics.brier_score_loss`` with ``scale_by_half=True``).

    Of two classes that is the mean of ``(p - y) ** 2``.

    Source: G. W. Brier 1950, "Verification of forecasts expressed in terms of probability", which
    does not halve it.
    """

    name: ClassVar[str] = "brier"
    label: ClassVar[str] = "Brier score"
    aliases: ClassVar[tuple[str, ...]] = ("brier_score", "brier_score_loss")
    task = "classification"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    added_up = True

    @classmethod
    def value(cls, y: np.ndarray, probabilities: np.ndarray) -> float:
        return float(cls.per_row(y, probabilities).mean())

    @staticmethod
    def per_row(y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        import numpy as np

        right = np.eye(probabilities.shape[1])[y]
        distances = ((probabilities - right) ** 2).sum(axis=1)
        halves: NDArray[np.float64] = distances / 2
        return halves

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        return 1 / rows

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        distance_VBC = rows.log_probability.exp() - rows.is_class.double()
        halves_VB = distance_VBC.square().sum(dim=-1) / 2
        return rows.by_part(halves_VB).unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        means: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows
        return means
