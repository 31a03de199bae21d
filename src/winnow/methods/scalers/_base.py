"""The contract of scalers. Axes: N rows, F columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from winnow.methods._method import BaseMethod
from winnow.methods.scalers._fitted import Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BaseScaler"]


class BaseScaler(BaseMethod):
    """How a column of numbers is scaled, learned from the training rows.

    What it learns is plain data, one ``Linear`` or ``Curve`` for each column. That alone is
    applied, in training as in a bundle, so a bundle needs neither the scaler nor its module.

    Class attributes:
        phrase: what a recipe with it has, for people: ``standardized numbers``; empty: made from
            the name of the class.

    Example:
        >>> class Robust(BaseScaler):
        ...     def fit_column(self, values_N):
        ...         low, middle, high = np.quantile(values_N, [0.25, 0.5, 0.75])
        ...         return Linear(middle, high - low or 1.0)
    """

    phrase: ClassVar[str] = ""

    def fit_column(self, values_N: NDArray[np.float64]) -> Scaling:
        """Return the scaling of one column.

        Args:
            values_N: of the training rows, (rows,), gaps filled; of rows that are arrays
                themselves, all values of one channel.
        """
        raise NotImplementedError("a scaler defines fit_column")

    def fit(self, chunks: Iterable[NDArray[np.float64]]) -> list[Scaling]:
        """Return the scaling of every column; by default, of each by itself.

        Args:
            chunks: the training rows a part at a time, each (rows, columns) and gaps filled. A
                scaler that can learn from one after the other need not hold them all.
        """
        import numpy as np

        X_NF = np.concatenate(list(chunks))
        return [self.fit_column(values_N) for values_N in X_NF.T]
