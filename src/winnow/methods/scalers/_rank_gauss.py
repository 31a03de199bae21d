"""Ranks as normal quantiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.scalers._base import BaseScaler
from winnow.methods.scalers._fitted import MOST_KNOTS, Curve, Linear, Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RankGauss"]


class RankGauss(BaseScaler):
    """A value becomes the standard normal quantile of its rank among the training rows.

    Skewed columns and columns with outliers become normal ones. The lowest and the highest training
    value, and all beyond, become -5.2 and 5.2. Where a column has a few values only, standardizing
    keeps more of it.
    """

    phrase: ClassVar[str] = "numbers as normal quantiles of their ranks"

    kind: Literal["rank_gauss"] = "rank_gauss"

    def fit_column(self, values_N: NDArray[np.float64]) -> Scaling:
        """Return at most 1,000 quantiles of the values with their shares.

        A column of one value becomes zero.

        Source: ``sklearn.preprocessing.QuantileTransformer`` with a normal output, of all rows and
        not of a sample; without its margin of 1e-7 about the lowest and the highest value.
        """
        import numpy as np

        values_N = np.sort(values_N)
        if values_N[0] == values_N[-1]:
            return Linear(float(values_N[0]))
        knots = min(MOST_KNOTS, len(values_N))
        # In whole numbers, since a quantile that rounding puts beside a value which many rows have
        # would move them all. `np.quantile` does that.
        below, rest = np.divmod(np.arange(knots) * (len(values_N) - 1), knots - 1)
        left, right = values_N[below], values_N[np.minimum(below + 1, len(values_N) - 1)]
        quantiles = np.minimum(left + rest / (knots - 1) * (right - left), right)
        shares = np.linspace(0, 1, knots)
        return Curve(tuple(quantiles.tolist()), tuple(shares.tolist()), normal=True)
