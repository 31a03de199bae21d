"""Numbers as how far they have come through bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.scalers import Curve, Linear, Scaling
from winnow.methods.steps._base import BaseStep, Learned
from winnow.methods.steps._program import Curves, Keep
from winnow.spec import Several

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PiecewiseLinear"]


class PiecewiseLinear(BaseStep):
    """A feature becomes one for each of its bins: 0 below the bin, 1 above, linear inside."""

    phrase: ClassVar[str] = "piecewise linear features"

    kind: Literal["piecewise_linear"] = "piecewise_linear"
    bins: Several = 8
    """Between quantiles of the training rows; those that fall together are one."""

    def learn(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Learned:
        """Return the curves of all bins. Features of at most two values stay as they are.

        Source: Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep
        Learning", equation 1, with the ends of the first and the last bin closed. Their sums are
        the splines of ``sklearn.preprocessing.SplineTransformer`` of degree 1 at the same knots.
        """
        import numpy as np

        columns: list[int] = []
        curves: list[Scaling] = []
        labels: list[str] = []
        for i, name in enumerate(names):
            values_N = features_NF[:, i]
            edges = np.unique(np.quantile(values_N, np.linspace(0, 1, self.bins + 1)))
            if len(np.unique(values_N)) <= 2 or len(edges) <= 2:
                columns.append(i)
                curves.append(Linear())
                labels.append(name)
                continue
            for number, (low, high) in enumerate(pairwise(edges.tolist()), start=1):
                columns.append(i)
                curves.append(Curve((low, high), (0.0, 1.0)))
                labels.append(f"{name} (bin {number})")
        return [Keep(tuple(columns)), Curves(tuple(curves), tuple(labels))]
