"""Gradient rules, each in a file of its own, under the contract of ``BaseGradientRule``."""

from winnow.methods.gradients._base import BaseGradientRule
from winnow.methods.gradients._clip_norm import ClipNorm

__all__ = ["GRADIENT_RULES", "BaseGradientRule", "ClipNorm"]

GRADIENT_RULES: tuple[type[BaseGradientRule], ...] = (ClipNorm,)  # in the order of application
