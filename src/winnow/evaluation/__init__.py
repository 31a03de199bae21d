"""Metrics of trained models on the test rows, and of baselines beside them."""

from winnow.evaluation._baselines import (
    Baseline,
    Baselines,
    Fitted,
    compare_baselines,
    fit_baselines,
)
from winnow.evaluation._evaluate import Evaluation, evaluate
from winnow.evaluation._metrics import (
    classification_metrics,
    confusion_matrix,
    regression_metrics,
    softmax,
)

__all__ = [
    "Baseline",
    "Baselines",
    "Evaluation",
    "Fitted",
    "classification_metrics",
    "compare_baselines",
    "confusion_matrix",
    "evaluate",
    "fit_baselines",
    "regression_metrics",
    "softmax",
]
