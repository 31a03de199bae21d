"""Zero mean and unit variance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.scalers._base import BaseScaler
from winnow.methods.scalers._fitted import Linear, Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Standardize"]


class Standardize(BaseScaler):
    """The mean is subtracted, and the rest divided by the standard deviation."""

    phrase: ClassVar[str] = "standardized numbers"

    kind: Literal["standardize"] = "standardize"

    def fit(self, chunks: Iterable[NDArray[np.float64]]) -> list[Scaling]:
        """Return mean and deviation of every column, 1 where all values are equal.

        Source: ``sklearn.preprocessing.StandardScaler``.
        """
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for chunk in chunks:
            scaler.partial_fit(chunk)
        pairs = zip(scaler.mean_.tolist(), scaler.scale_.tolist(), strict=True)
        return [Linear(mean, scale) for mean, scale in pairs]
