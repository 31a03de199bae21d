"""The expected calibration error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from winnow.metrics._base import BaseMetric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from winnow.metrics._rows import ClassRows, Targets

__all__ = ["CalibrationError"]

_BINS = 15


class CalibrationError(BaseMetric):
    """How far the probability of the predicted class is from how often it is right, in 15 bins of
    equal width, the mean over rows (the bins are those of ``sklearn.calibration.calibration_curve``
    with ``n_bins=15``).

    Of few rows it is above 0 even where the probabilities are right: each bin has its own error.

    Source: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger 2017, "On calibration of modern neural
    networks".
    """

    name: ClassVar[str] = "ece"
    label: ClassVar[str] = "calibration error"
    aliases: ClassVar[tuple[str, ...]] = ("calibration_error", "expected_calibration_error")
    task = "classification"
    higher_is_better = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    added_up = True

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        import numpy as np

        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == y
        inner_edges = np.linspace(0, 1, _BINS + 1)[1:-1]
        bins = np.searchsorted(inner_edges, confidence)
        gaps = np.bincount(bins, confidence - right, minlength=_BINS)
        return float(np.abs(gaps).sum() / len(y))

    @classmethod
    def row_worth(cls, rows: int, counts_HC: Callable[[], NDArray[np.int64]]) -> float:
        """Return 2 / rows: a row leaves one bin and enters another."""
        return 2 / rows

    @staticmethod
    def sums(rows: ClassRows) -> Tensor:
        """Return by how much the probabilities of each bin are above what was right."""
        import torch

        confidence_VB = rows.log_probability.exp().amax(dim=-1)
        edges = torch.linspace(0, 1, _BINS + 1, dtype=torch.float64, device=confidence_VB.device)
        bins_VB = torch.searchsorted(edges[1:-1], confidence_VB)
        gap_VB = confidence_VB - rows.right
        gaps = [rows.by_part(gap_VB * (bins_VB == k)) for k in range(_BINS)]
        return torch.stack(gaps, dim=-1)

    @staticmethod
    def from_sums(sums_VGK: NDArray[np.float64], targets: Targets) -> NDArray[np.float64]:
        means: NDArray[np.float64] = abs(sums_VGK).sum(axis=-1) / targets.rows
        return means
