"""Metrics of trained models on the test rows."""

from winnow.evaluate._evaluate import Evaluation, evaluate
from winnow.evaluate._metrics import classification_metrics, confusion_matrix, regression_metrics, softmax

__all__ = ["Evaluation", "classification_metrics", "confusion_matrix", "evaluate", "regression_metrics", "softmax"]
