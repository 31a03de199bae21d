"""Metrics of predictions, each computed by its own file in ``winnow.metrics``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from winnow.metrics import METRICS
from winnow.recipe import Task, metric_of

__all__ = ["classification_metrics", "confusion_matrix", "measure", "regression_metrics", "softmax"]

SUM_TOLERANCE = 1e-6  # of a row of probabilities, from 1


def measure(
    task: Task, y: NDArray[Any], prediction: NDArray[Any], *, metric: str | None = None
) -> dict[str, float]:
    """Metrics of a task: those that every evaluation reports, and ``metric``; see
    ``classification_metrics`` and ``regression_metrics``.
    """
    of_task = classification_metrics if task == "classification" else regression_metrics
    return of_task(y, prediction, metric=metric)


def classification_metrics(
    y: NDArray[np.int64], probabilities: NDArray[np.floating], *, metric: str | None = None
) -> dict[str, float]:
    """Metrics of class probabilities, by name; the predicted class is the most probable, the first
    among equals.

    Each is told in ``winnow.metrics``; ``accuracy``, ``balanced_accuracy``, ``roc_auc``,
    ``log_loss`` and ``macro_f1`` are always there. One that is not defined on these rows is left
    out: ``roc_auc`` is, when ``y`` holds one class only.

    Args:
        y: class indices, shape (rows,).
        probabilities: shape (rows, classes), at least two classes, every row summing to 1.
        metric: one that is measured besides, by name or import path.

    Raises:
        ValueError: for other shapes, no rows, a class index that has no column, or rows that are no
            probabilities.
    """
    y, p = np.asarray(y), np.asarray(probabilities, dtype=np.float64)
    _check_probabilities(y, p)
    return _values("classification", y, p, metric)


def regression_metrics(
    y: NDArray[np.floating], prediction: NDArray[np.floating], *, metric: str | None = None
) -> dict[str, float]:
    """Metrics of predictions, by name, both of shape (rows,) and in the units of the target.

    Each is told in ``winnow.metrics``; ``rmse``, ``mae``, ``r2`` and ``mse`` are always there. One
    that is not defined on these rows is left out: ``r2`` is, when ``y`` holds a single value only.

    Args:
        y: targets.
        prediction: of the model.
        metric: one that is measured besides, by name or import path.

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
    return _values("regression", y, prediction, metric)


def _values(
    task: Task, y: NDArray[Any], prediction: NDArray[Any], also: str | None
) -> dict[str, float]:
    asked = {m.name: m for m in METRICS if m.task == task and m.in_evaluation}
    if also is not None:
        asked[also] = metric_of(also)
    values = {name: float(m.value(y, prediction)) for name, m in asked.items() if m.task == task}
    return {name: value for name, value in values.items() if not math.isnan(value)}


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
