"""The one training driver: step, loop, fleet."""

from winnow.training._augment import Augmentation
from winnow.training._build import build_members
from winnow.training._checkpoint import UnusableCheckpoint, checksum, peek
from winnow.training._compiled import compiling
from winnow.training._device import training_device
from winnow.training._driver import EpochReport, train_fleet
from winnow.training._find_methods import (
    check_methods,
    code_digest,
    methods_key,
    stopping_of,
    used_methods,
)
from winnow.training._measure import StepTiming, measure, measure_compiled
from winnow.training._member import MemberResult
from winnow.training._memory import Footprint, OutOfMemory, footprint, is_out_of_memory
from winnow.training._predict import predict
from winnow.training._probe import Probe, probe, shape_key
from winnow.training._settings import dtype_of, num_steps
from winnow.training._stack import stacking
from winnow.training._timings import RememberedTiming, fleet_kind, recall, remember
from winnow.training._try_losses import try_losses

__all__ = [
    "Augmentation",
    "EpochReport",
    "Footprint",
    "MemberResult",
    "OutOfMemory",
    "Probe",
    "RememberedTiming",
    "StepTiming",
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
    "stopping_of",
    "train_fleet",
    "training_device",
    "try_losses",
    "used_methods",
]
