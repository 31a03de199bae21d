"""Metrics of trained models on the test rows, and of baselines beside them."""

from winnow.evaluation._baselines import Baselines, ahead_of_the_model, compare_baselines
from winnow.evaluation._evaluate import Evaluation, evaluate
from winnow.evaluation._fit_baselines import FittedBaseline, fit_baselines
from winnow.evaluation._metrics import (
    classification_metrics,
    confusion_matrix,
    measure,
    regression_metrics,
)
from winnow.evaluation._records import Baseline, BaselinesRecord, EvaluationRecord, ScatterRecord

__all__ = [
    "Baseline",
    "Baselines",
    "BaselinesRecord",
    "Evaluation",
    "EvaluationRecord",
    "FittedBaseline",
    "ScatterRecord",
    "ahead_of_the_model",
    "classification_metrics",
    "compare_baselines",
    "confusion_matrix",
    "evaluate",
    "fit_baselines",
    "measure",
    "regression_metrics",
]
