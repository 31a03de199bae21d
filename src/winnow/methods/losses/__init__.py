"""Losses, each in a file of its own, under the contract of ``BaseLoss``."""

from winnow.methods.losses._base import BaseLoss
from winnow.methods.losses._cross_entropy import CrossEntropy
from winnow.methods.losses._distillation import Distillation
from winnow.methods.losses._focal import Focal
from winnow.methods.losses._mse import MSE

__all__ = ["LOSSES", "MSE", "BaseLoss", "CrossEntropy", "Distillation", "Focal"]

LOSSES: tuple[type[BaseLoss], ...] = (CrossEntropy, MSE, Focal, Distillation)
