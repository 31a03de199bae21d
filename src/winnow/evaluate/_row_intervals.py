"""Metrics of one model with intervals over rows: how much they would move on other rows of the same kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from winnow.evaluate._metrics import classification_metrics, regression_metrics
from winnow.recipe import METRIC_BOUNDS, Task
from winnow.stats import Interval, RowGroup, area_parts, in_range, mean_over_rows, shares

__all__ = ["row_intervals"]

_Floats = NDArray[np.float64]
_BOUNDS = {"macro_f1": (0.0, 1.0), "mse": (0.0, math.inf), **METRIC_BOUNDS}


def row_intervals(
    y: NDArray[Any], predictions: NDArray[np.floating], *, task: Task, confidence: float = 0.95
) -> dict[str, Interval]:
    """Every metric of ``classification_metrics`` or ``regression_metrics``, with the interval over the rows.

    It is about this one model on rows that are drawn as these were; training again is not in it. Accuracy and balanced accuracy
    have score intervals; ROC AUC DeLong's; the others are functions of means over rows, by the delta method.

    Args:
        y: class indices, or targets, shape (rows,).
        predictions: probabilities (rows, classes), or values (rows,).
        task: which of the two.
        confidence: in (0, 1).

    Raises:
        ValueError: see ``classification_metrics`` and ``regression_metrics``.
    """
    made = np.asarray(predictions, dtype=np.float64)
    measure = classification_metrics if task == "classification" else regression_metrics
    found = {}
    for name, value in measure(y, made).items():
        interval = replace(_OVER_ROWS[name](y, made, value, confidence), mean=value)
        found[name] = in_range(interval, _BOUNDS[name], rows=len(y), over="rows")
    return found


def _accuracy(y: NDArray[Any], p: _Floats, value: float, confidence: float) -> Interval:
    return shares([(p.argmax(axis=1) == y).sum()], [len(y)], confidence=confidence)


def _balanced_accuracy(y: NDArray[Any], p: _Floats, value: float, confidence: float) -> Interval:
    classes, stratum, rows = np.unique(y, return_inverse=True, return_counts=True)
    hits = np.bincount(stratum, p.argmax(axis=1) == y, minlength=len(classes))
    return shares(hits, rows, confidence=confidence)


def _macro_f1(y: NDArray[Any], p: _Floats, value: float, confidence: float) -> Interval:
    predicted = p.argmax(axis=1)
    classes = np.union1d(y, predicted)
    influence = np.zeros(len(y))
    for c in classes:
        both = (y == c) & (predicted == c)
        either = (y == c).astype(np.float64) + (predicted == c)
        f1 = 2 * both.sum() / either.sum()
        influence += (2 * both - f1 * either) / (either.mean() * len(classes))
    return mean_over_rows([RowGroup(value + influence)], confidence=confidence)


def _log_loss(y: NDArray[Any], p: _Floats, value: float, confidence: float) -> Interval:
    chance = np.clip(p[np.arange(len(y)), y], np.finfo(np.float64).eps, 1.0)
    return mean_over_rows([RowGroup(-np.log(chance))], confidence=confidence)


def _roc_auc(y: NDArray[Any], p: _Floats, value: float, confidence: float) -> Interval:
    parts, classes = area_parts(y, p), np.unique(y)
    groups = []
    for c in classes:
        placed = parts[y == c] * (y == c).sum()
        groups.append(RowGroup(placed - placed.mean() + value / len(classes)))
    return mean_over_rows(groups, confidence=confidence)


def _mse(y: NDArray[Any], prediction: _Floats, value: float, confidence: float) -> Interval:
    return mean_over_rows([RowGroup((prediction - y) ** 2)], confidence=confidence)


def _rmse(y: NDArray[Any], prediction: _Floats, value: float, confidence: float) -> Interval:
    squared = _mse(y, prediction, value, confidence)
    return replace(squared, low=math.sqrt(max(squared.low, 0.0)), high=math.sqrt(squared.high))


def _mae(y: NDArray[Any], prediction: _Floats, value: float, confidence: float) -> Interval:
    return mean_over_rows([RowGroup(np.abs(prediction - y))], confidence=confidence)


def _r2(y: NDArray[Any], prediction: _Floats, value: float, confidence: float) -> Interval:
    squares = (y - y.mean()) ** 2
    variance = squares.mean()
    influence = (prediction - y) ** 2 / variance - (1 - value) * squares / variance
    return mean_over_rows([RowGroup(value - influence)], confidence=confidence)


_OVER_ROWS: dict[str, Callable[[NDArray[Any], _Floats, float, float], Interval]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "log_loss": _log_loss,
    "roc_auc": _roc_auc,
    "mse": _mse,
    "rmse": _rmse,
    "mae": _mae,
    "r2": _r2,
}
