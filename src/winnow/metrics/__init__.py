"""What models are scored by: metrics, each in a file of its own, under the contract of
``BaseMetric``.

They know nothing of loops, files or screens.
"""

from winnow.metrics._accuracy import Accuracy
from winnow.metrics._average_precision import AveragePrecision
from winnow.metrics._balanced_accuracy import BalancedAccuracy
from winnow.metrics._base import BaseMetric, Task
from winnow.metrics._brier import Brier
from winnow.metrics._calibration_error import CalibrationError
from winnow.metrics._log_loss import LogLoss
from winnow.metrics._macro_f1 import MacroF1
from winnow.metrics._mae import MAE
from winnow.metrics._mape import MAPE
from winnow.metrics._mse import MSE
from winnow.metrics._r2 import R2
from winnow.metrics._rmse import RMSE
from winnow.metrics._roc_auc import ROCAUC
from winnow.metrics._rows import ClassRows, NumberRows, Rows, Targets

__all__ = [
    "MAE",
    "MAPE",
    "METRICS",
    "MSE",
    "R2",
    "RMSE",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "BaseMetric",
    "Brier",
    "CalibrationError",
    "ClassRows",
    "LogLoss",
    "MacroF1",
    "NumberRows",
    "Rows",
    "Targets",
    "Task",
]

METRICS: tuple[type[BaseMetric], ...] = (  # of each task, the first is what "auto" means
    Accuracy,
    BalancedAccuracy,
    ROCAUC,
    LogLoss,
    MacroF1,
    AveragePrecision,
    Brier,
    CalibrationError,
    RMSE,
    MAE,
    R2,
    MAPE,
    MSE,
)
