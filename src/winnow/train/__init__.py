"""The one training driver: step, loop, fleet."""

from winnow.train._build import build_members
from winnow.train._checkpoint import peek
from winnow.train._driver import EpochReport, train_fleet
from winnow.train._measure import Timing, measure
from winnow.train._member import Finished
from winnow.train._predict import predict
from winnow.train._probe import Probe, probe, shape_key
from winnow.train._settings import dtype_of, num_steps
from winnow.train._stacked import BLOCK

__all__ = [
    "BLOCK",
    "EpochReport",
    "Finished",
    "Probe",
    "Timing",
    "build_members",
    "dtype_of",
    "measure",
    "num_steps",
    "peek",
    "predict",
    "probe",
    "shape_key",
    "train_fleet",
]
