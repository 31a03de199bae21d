"""The one training driver: step, loop, fleet."""

from winnow.train._build import build_members
from winnow.train._checkpoint import UnusableCheckpoint, checksum, peek
from winnow.train._compiled import compiling
from winnow.train._device import training_device
from winnow.train._driver import EpochReport, train_fleet
from winnow.train._measure import Timing, measure, measure_compiled
from winnow.train._member import Finished
from winnow.train._memory import Footprint, OutOfMemory, footprint, is_out_of_memory
from winnow.train._methods import check_methods, code_digest, methods_key
from winnow.train._predict import predict
from winnow.train._probe import Probe, probe, shape_key
from winnow.train._settings import dtype_of, num_steps
from winnow.train._stacked import stacking
from winnow.train._timings import Remembered, fleet_kind, recall, remember

__all__ = [
    "EpochReport",
    "Finished",
    "Footprint",
    "OutOfMemory",
    "Probe",
    "Remembered",
    "Timing",
    "UnusableCheckpoint",
    "build_members",
    "check_methods",
    "checksum",
    "code_digest",
    "compiling",
    "dtype_of",
    "fleet_kind",
    "footprint",
    "is_out_of_memory",
    "measure",
    "measure_compiled",
    "methods_key",
    "num_steps",
    "peek",
    "predict",
    "probe",
    "recall",
    "remember",
    "shape_key",
    "stacking",
    "train_fleet",
    "training_device",
]
