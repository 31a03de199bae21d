"""Penalties on weights, each in a file of its own, under the contract of ``BasePenalty``."""

from winnow.methods.penalties._base import BasePenalty
from winnow.methods.penalties._l1 import L1
from winnow.methods.penalties._l2 import L2

__all__ = ["L1", "L2", "PENALTIES", "BasePenalty"]

PENALTIES: tuple[type[BasePenalty], ...] = (L1, L2)  # in the order in which they are added
