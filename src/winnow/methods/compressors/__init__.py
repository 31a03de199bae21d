"""Compressors, each in a file of its own, under the contract of ``BaseCompressor``."""

from winnow.methods.compressors._base import (
    BaseCompressor,
    Compressed,
    ExportedModel,
    Features,
    NotCompressed,
    in_order,
)
from winnow.methods.compressors._float16 import Float16
from winnow.methods.compressors._int8 import Int8
from winnow.methods.compressors._low_rank import LowRank

__all__ = [
    "COMPRESSORS",
    "BaseCompressor",
    "Compressed",
    "ExportedModel",
    "Features",
    "Float16",
    "Int8",
    "LowRank",
    "NotCompressed",
    "in_order",
]

COMPRESSORS: tuple[type[BaseCompressor], ...] = (Int8, Float16, LowRank)
