"""Learning-rate schedules, each in a file of its own, under the contract of ``BaseSchedule``."""

from winnow.methods.schedules._base import BaseSchedule
from winnow.methods.schedules._constant import Constant
from winnow.methods.schedules._cosine import Cosine
from winnow.methods.schedules._one_cycle import OneCycle
from winnow.methods.schedules._step import Step

__all__ = ["SCHEDULES", "BaseSchedule", "Constant", "Cosine", "OneCycle", "Step"]

SCHEDULES: tuple[type[BaseSchedule], ...] = (Constant, Cosine, OneCycle, Step)
