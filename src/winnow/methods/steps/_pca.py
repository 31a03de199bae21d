"""Principal components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.steps._base import BaseStep, Learned
from winnow.methods.steps._program import Affine
from winnow.spec import Count, Flag, Inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PCA"]


class PCA(BaseStep):
    """The features become their principal components, those of the largest variance first."""

    phrase: ClassVar[str] = "principal components"

    kind: Literal["pca"] = "pca"
    components: Count | Inside = 0.95
    """How many, at most; a share: as many as explain more than it of the variance."""
    whiten: Flag = False
    """Divide each component by its standard deviation."""

    def learn(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Learned:
        """Return the projection on the components.

        Source: ``sklearn.decomposition.PCA``. The sign of a component is such that its largest
        weight is positive, and of weights that are equally large the first one is.
        """
        import numpy as np

        mean_F = features_NF.mean(axis=0)
        # The triangle of a QR decomposition has the same singular values and axes as the rows, and
        # is no larger than features by features.
        triangle = np.linalg.qr(features_NF - mean_F, mode="r")
        _, spread, axes_CF = np.linalg.svd(triangle, full_matrices=False)
        axes_CF = axes_CF[: self._count(spread)]
        sizes = np.abs(axes_CF)
        # Weights of equal size differ by rounding, which must not decide.
        first = (sizes >= sizes.max(axis=1, keepdims=True) * (1 - 1e-6)).argmax(axis=1)
        leading = axes_CF[np.arange(len(axes_CF)), first]
        weight_CF = axes_CF * np.where(leading < 0, -1.0, 1.0)[:, None]
        if self.whiten:
            deviation = spread[: len(axes_CF)] / np.sqrt(max(len(features_NF) - 1, 1))
            usual = deviation > 1e-12 * deviation.max()
            weight_CF = weight_CF / np.where(usual, deviation, 1.0)[:, None]
        labels = tuple(f"component {i + 1}" for i in range(len(weight_CF)))
        bias_C = -weight_CF @ mean_F
        rows = tuple(map(tuple, weight_CF.tolist()))
        return Affine(rows, tuple(bias_C.tolist()), labels)

    def _count(self, spread: NDArray[np.float64]) -> int:
        """Return how many components are kept, of all with their singular values."""
        import numpy as np

        if isinstance(self.components, int):
            return min(self.components, len(spread))
        variance = spread**2
        explained = np.cumsum(variance) / (variance.sum() or 1.0)
        count = int(np.searchsorted(explained, self.components, side="right")) + 1
        return min(count, len(spread))
