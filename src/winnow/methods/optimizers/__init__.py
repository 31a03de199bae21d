"""Optimizers, each in a file of its own, under the contract of ``BaseOptimizer``."""

from winnow.methods.optimizers._adamw import AdamW
from winnow.methods.optimizers._base import BaseOptimizer
from winnow.methods.optimizers._lamb import LAMB
from winnow.methods.optimizers._lion import Lion
from winnow.methods.optimizers._sgd import SGD

__all__ = ["LAMB", "OPTIMIZERS", "SGD", "AdamW", "BaseOptimizer", "Lion"]

OPTIMIZERS: tuple[type[BaseOptimizer], ...] = (SGD, AdamW, Lion, LAMB)
