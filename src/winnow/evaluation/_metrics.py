"""Metrics of predictions, each computed by its own file in ``winnow.metrics``."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from winnow.metrics import METRICS
from winnow.recipe import Task, metric_of

__all__ = ["classification_metrics", "confusion_matrix", "measure", "regression_metrics"]

SUM_TOLERANCE = 1e-6  # of a row of probabilities, from 1


def measure(
    task: Task, y: np.ndarray, prediction: np.ndarray, *, metric: str | None = None
) -> dict[str, float]:
    """Return the metrics that every evaluation of a task reports, and one more, by name.

    Args:
        task: says which of ``classification_metrics`` and ``regression_metrics`` they are.
        y: class indices, or targets, shape (rows,).
        prediction: probabilities (rows, classes), or values (rows,).
        metric: one that is measured besides, by name or import path.

    Raises:
        ValueError: for arrays that these functions refuse.
    """
    if task == "classification":
        return classification_metrics(y, prediction, metric=metric)
    return regression_metrics(y, prediction, metric=metric)


def classification_metrics(
    y: NDArray[np.int64], probabilities: NDArray[np.floating], *, metric: str | None = None
) -> dict[str, float]:
    """Return metrics of class probabilities, by name.

    The predicted class is the most probable one, the first among equals. Each metric is described
    in ``winnow.metrics``; ``accuracy``, ``balanced_accuracy``, ``roc_auc``, ``log_loss`` and
    ``macro_f1`` are always there. One that is not defined on these rows is left out: ``roc_auc``
    is, when ``y`` holds one class only.

    Args:
        y: class indices, shape (rows,).
        probabilities: shape (rows, classes), at least two classes, every row summing to 1.
        metric: one that is measured besides, by name or import path.

    Raises:
        ValueError: for other shapes, no rows, a class index that has no column, or rows that are no
            probabilities.

    Example:
        >>> y = np.array([0, 1, 1])
        >>> probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> classification_metrics(y, probabilities)["balanced_accuracy"]
        0.75
    """
    y = np.asarray(y)
    p = np.asarray(probabilities, dtype=np.float64)
    _check_probabilities(y, p)
    return _values("classification", y, p, metric)


def regression_metrics(
    y: NDArray[np.floating], prediction: NDArray[np.floating], *, metric: str | None = None
) -> dict[str, float]:
    """Return metrics of predictions, by name.

    Each is described in ``winnow.metrics``; ``rmse``, ``mae``, ``r2`` and ``mse`` are always there.
    One that is not defined on these rows is left out: ``r2`` is, when ``y`` holds a single value
    only.

    Args:
        y: targets in their own units, shape (rows,).
        prediction: of the model, in the same units, shape (rows,).
        metric: one that is measured besides, by name or import path.

    Raises:
        ValueError: for other shapes, no rows, or values that are not finite.

    Example:
        >>> regression_metrics(np.array([1.0, 2.0]), np.array([1.5, 2.5]))["mae"]
        0.5
    """
    y = np.asarray(y, dtype=np.float64)
    prediction = np.asarray(prediction, dtype=np.float64)
    if y.ndim != 1 or y.shape != prediction.shape or not len(y):
        raise ValueError(
            f"expected y and prediction as (rows,), at least one row, got {y.shape} and "
            f"{prediction.shape}"
        )
    if not (np.isfinite(y).all() and np.isfinite(prediction).all()):
        raise ValueError("expected finite values, found NaN or an infinity")
    return _values("regression", y, prediction, metric)


def _values(
    task: Task, y: np.ndarray, prediction: np.ndarray, also: str | None
) -> dict[str, float]:
    """Return the metrics of a task that are defined on these rows."""
    asked = {metric.name: metric for metric in METRICS if metric.in_evaluation}
    if also is not None:
        asked[also] = metric_of(also)
    values = {}
    for name, metric in asked.items():
        if metric.task != task:
            continue
        value = float(metric.value(y, prediction))
        if not math.isnan(value):
            values[name] = value
    return values


def confusion_matrix(
    y: NDArray[np.int64], predicted: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Return how often each class was predicted for each.

    Args:
        y: class indices, shape (rows,).
        predicted: class indices, shape (rows,).
        num_classes: how many there are, also those that no row has.

    Returns:
        Counts, shape (classes, classes): row = true class, column = predicted class.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    matrix: NDArray[np.int64] = metrics.confusion_matrix(
        y, predicted, labels=np.arange(num_classes)
    )
    return matrix


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
    in_range = np.isfinite(p).all() and p.min() >= 0
    if not in_range or np.abs(p.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "expected probabilities: finite, not negative, every row summing to 1 (give logits "
            "to `softmax` first)"
        )
