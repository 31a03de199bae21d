"""Averages of weights, each in a file of its own, under the contract of ``BaseAveraging``."""

from winnow.methods.averaging._base import BaseAveraging
from winnow.methods.averaging._ema import EMA
from winnow.methods.averaging._swa import SWA

__all__ = ["AVERAGINGS", "EMA", "SWA", "BaseAveraging"]

AVERAGINGS: tuple[type[BaseAveraging], ...] = (EMA, SWA)
