"""Ready models, building a user's, and switching parts of a network off."""

from winnow.models._build import build, check_args, check_output, gives_probabilities, model_digest
from winnow.models._noise import BaseNoise
from winnow.models._ready import MLP, READY, ConvNet
from winnow.models._start import MASKS, masks_of, to_training
from winnow.models._surgery import Zero, module_names, switch_off

__all__ = [
    "MASKS",
    "MLP",
    "READY",
    "BaseNoise",
    "ConvNet",
    "Zero",
    "build",
    "check_args",
    "check_output",
    "gives_probabilities",
    "masks_of",
    "model_digest",
    "module_names",
    "switch_off",
    "to_training",
]
