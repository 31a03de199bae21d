"""Products of two features."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.steps._base import BaseStep, Learned
from winnow.methods.steps._program import Products
from winnow.spec import Flag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Polynomial"]

_MOST = 10_000


class Polynomial(BaseStep):
    """The features, and the products of any two of them."""

    phrase: ClassVar[str] = "products of features"

    kind: Literal["polynomial"] = "polynomial"
    squares: Flag = True
    """Of a feature with itself, too."""

    def learn(
        self,
        features_NF: NDArray[np.float64],
        names: Sequence[str],
        targets_N: NDArray[np.int64] | NDArray[np.float64],
    ) -> Learned:
        """Return the products of up to two features.

        Source: ``sklearn.preprocessing.PolynomialFeatures`` of degree 2 without its constant. What
        says nothing more is left out: squares of features with two values, and products that have
        one value in all training rows, such as that of two categories of one column.

        Raises:
            ValueError: there would be more than 10,000 of them.
        """
        import numpy as np

        width = len(names)
        pairs = list(
            (combinations_with_replacement if self.squares else combinations)(range(width), 2)
        )
        if width + len(pairs) > _MOST:
            raise ValueError(
                f"{width} features have {len(pairs):,} products, and at most {_MOST:,} features "
                f"are made: let a step before it leave fewer"
            )
        two_values = [len(np.unique(column)) <= 2 for column in features_NF.T]
        factors: list[tuple[int, ...]] = [(i,) for i in range(width)]
        for i, j in pairs:
            is_plain_square = i == j and two_values[i]
            product = features_NF[:, i] * features_NF[:, j]
            if not is_plain_square and product.min() < product.max():
                factors.append((i, j))
        return Products(tuple(factors))
