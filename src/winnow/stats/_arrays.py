"""Arrays as the statistics take them: float64, one value for each seed or row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Flags", "Floats", "finite", "vector"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def vector(values: ArrayLike, name: str) -> Floats:
    """Return ``values`` as float64 of shape (S,).

    Args:
        values: one number for each seed; failed trainings are NaN.
        name: of the argument, for the message.

    Raises:
        ValueError: for values of any other shape.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected `{name}` as (seeds,), got shape {array.shape}")
    return array


def finite(values: Floats) -> Floats:
    """Return the finite ones of ``values``, in their order."""
    return values[np.isfinite(values)]
