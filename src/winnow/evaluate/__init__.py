"""Metrics of trained models on the test rows."""

from winnow.evaluate._evaluate import Evaluation, evaluate
from winnow.evaluate._metrics import classification_metrics, confusion_matrix, regression_metrics, softmax
from winnow.evaluate._row_intervals import row_intervals

__all__ = [
    "Evaluation",
    "classification_metrics",
    "confusion_matrix",
    "evaluate",
    "regression_metrics",
    "row_intervals",
    "softmax",
]
