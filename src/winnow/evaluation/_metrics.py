"""Metrics of predictions, computed by scikit-learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

__all__ = ["classification_metrics", "confusion_matrix", "regression_metrics", "softmax"]

SUM_TOLERANCE = 1e-6  # of a row of probabilities, from 1


def classification_metrics(
    y: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> dict[str, float]:
    """Metrics of class probabilities; the predicted class is the most probable, the first among
    equals.

    ``accuracy``; ``balanced_accuracy``, the mean recall over the classes in ``y``; ``macro_f1``,
    the mean F1 over the classes that occur in ``y`` or are predicted; ``log_loss`` in nats;
    ``roc_auc``, for two classes that of class 1, for more the mean over each class in ``y`` against
    the rest. ``roc_auc`` is left out when ``y`` holds one class only: it is not defined then.

    Args:
        y: class indices, shape (rows,).
        probabilities: shape (rows, classes), at least two classes, every row summing to 1.

    Raises:
        ValueError: for other shapes, no rows, a class index that has no column, or rows that are no
            probabilities.
    """
    y, p = np.asarray(y), np.asarray(probabilities, dtype=np.float64)
    _check_probabilities(y, p)
    classes = np.arange(p.shape[1])
    predicted = p.argmax(axis=1)
    values = {
        "accuracy": metrics.accuracy_score(y, predicted),
        # `balanced_accuracy_score` is this, with a warning when a class is predicted that `y` lacks
        "balanced_accuracy": metrics.recall_score(
            y, predicted, labels=np.unique(y), average="macro", zero_division=0
        ),
        "macro_f1": metrics.f1_score(y, predicted, average="macro", zero_division=0),
        "log_loss": metrics.log_loss(y, p, labels=classes),
    }
    present = np.unique(y)
    if len(present) > 1:
        if len(classes) == 2:
            values["roc_auc"] = metrics.roc_auc_score(y, p[:, 1])
        # `multi_class="ovr"` is this, but undefined when a class of the columns is not in `y`
        else:
            values["roc_auc"] = np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in present])
    return {name: float(value) for name, value in values.items()}


def regression_metrics(
    y: NDArray[np.floating], prediction: NDArray[np.floating]
) -> dict[str, float]:
    """``mse``, ``rmse``, ``mae`` and ``r2`` of predictions, both of shape (rows,), in the units of
    the target (``mse``: squared).

    ``r2`` is left out when ``y`` holds a single value only: it is not defined then.

    Raises:
        ValueError: for other shapes, no rows, or values that are not finite.
    """
    y, prediction = np.asarray(y, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    if y.ndim != 1 or y.shape != prediction.shape or not len(y):
        raise ValueError(
            f"expected y and prediction as (rows,), at least one row, got {y.shape} and "
            f"{prediction.shape}"
        )
    if not (np.isfinite(y).all() and np.isfinite(prediction).all()):
        raise ValueError("expected finite values, found NaN or an infinity")
    values = {
        "mse": metrics.mean_squared_error(y, prediction),
        "rmse": metrics.root_mean_squared_error(y, prediction),
        "mae": metrics.mean_absolute_error(y, prediction),
    }
    if np.ptp(y) > 0:
        values["r2"] = metrics.r2_score(y, prediction)
    return {name: float(value) for name, value in values.items()}


def confusion_matrix(
    y: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Counts of shape (classes, classes): row = true class, column = predicted class."""
    matrix: NDArray[np.int64] = metrics.confusion_matrix(
        y, predicted, labels=np.arange(num_classes)
    )
    return matrix


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities of logits, shape (rows, classes), in float64: sums of float32 miss 1 by
    more than scikit-learn allows.
    """
    z = np.asarray(logits, dtype=np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = e / e.sum(axis=1, keepdims=True)
    return shares


def _check_probabilities(y: NDArray[np.int64], p: NDArray[np.float64]) -> None:
    if p.ndim != 2 or p.shape[1] < 2 or y.shape != p.shape[:1] or not len(y):
        raise ValueError(
            f"expected y (rows,) and probabilities (rows, classes), at least one row, two "
            f"classes; got {y.shape}, {p.shape}"
        )
    if not np.isin(y, np.arange(p.shape[1])).all():
        raise ValueError(
            f"expected class indices 0 to {p.shape[1] - 1} in y, found {y.min()} to {y.max()}"
        )
    if not np.isfinite(p).all() or p.min() < 0 or np.abs(p.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "expected probabilities: finite, not negative, every row summing to 1 (give logits "
            "to `softmax` first)"
        )
