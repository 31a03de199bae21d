"""The softmax of logits, in float64."""

from __future__ import annotations

import numpy as np

__all__ = ["softmax"]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the class probabilities of logits.

    They are in float64, since sums of float32 miss 1 by more than scikit-learn allows.

    Args:
        logits: shape (rows, classes), of any floating dtype.

    Returns:
        Shape (rows, classes), in [0, 1]; every row sums to 1.

    Example:
        >>> softmax(np.array([[0.0, 0.0]])).tolist()
        [[0.5, 0.5]]
    """
    z = np.asarray(logits, dtype=np.float64)
    # The largest exponent is 0, so that none overflows
    exponentials = np.exp(z - z.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
