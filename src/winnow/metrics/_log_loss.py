"""Log loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["LogLoss"]


class LogLoss(BaseMetric):
    """The mean of minus the logarithm of the right class's probability, in nats
    (``sklearn.metrics.log_loss``).
    """

    name: ClassVar[str] = "log_loss"
    label: ClassVar[str] = "log loss"
    aliases: ClassVar[tuple[str, ...]] = ("cross_entropy", "nll", "bce", "loss")
    task = "classification"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    in_validation = True
    in_evaluation = True
    added_up = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        import numpy as np
        from sklearn import metrics

        classes = np.arange(probabilities.shape[1])
        return float(metrics.log_loss(y, probabilities, labels=classes))

    @staticmethod
    def per_row(y: np.ndarray, probabilities: np.ndarray) -> NDArray[np.float64]:
        import numpy as np

        tiny = np.finfo(probabilities.dtype).eps  # as scikit-learn clips
        right = probabilities[np.arange(len(y)), y]
        losses: NDArray[np.float64] = -np.log(np.clip(right, tiny, 1.0)).astype(np.float64)
        return losses

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        return rows.loss.unsqueeze(-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        losses: NDArray[np.float64] = sums_VGK[..., 0] / targets.rows
        return losses
