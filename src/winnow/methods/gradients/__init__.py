"""Gradient rules, each in a file of its own, under the contract of ``BaseGradientRule``."""

from winnow.methods.gradients._base import BaseGradientRule
from winnow.methods.gradients._centralize import Centralize
from winnow.methods.gradients._clip_norm import ClipNorm
from winnow.methods.gradients._clip_value import ClipValue

__all__ = ["GRADIENT_RULES", "BaseGradientRule", "Centralize", "ClipNorm", "ClipValue"]

GRADIENT_RULES: tuple[type[BaseGradientRule], ...] = (ClipNorm, ClipValue, Centralize)
