"""The one training driver: step, loop, fleet."""

from winnow.train._checkpoint import peek
from winnow.train._driver import EpochReport, Finished, build_members, dtype_of, num_steps, train_fleet
from winnow.train._measure import Timing, measure
from winnow.train._predict import predict
from winnow.train._probe import Probe, probe, shape_key
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
