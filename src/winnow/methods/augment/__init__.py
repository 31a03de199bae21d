"""Augmentations, each in a file of its own, under the contract of ``BaseAugment``."""

from winnow.methods.augment._base import BaseAugment
from winnow.methods.augment._input_noise import InputNoise
from winnow.methods.augment._mixup import Mixup

__all__ = ["AUGMENTS", "BaseAugment", "InputNoise", "Mixup"]

AUGMENTS: tuple[type[BaseAugment], ...] = (Mixup, InputNoise)
