"""The settings of variants as the driver needs them: numbers of steps and precision."""

from __future__ import annotations

import math

import torch

from winnow.recipe import Variant

__all__ = ["batch_size", "dtype_of", "num_steps"]


def batch_size(variant: Variant, num_rows: int) -> int:
    """Return how many rows a batch has: as asked, or all training rows where there are fewer."""
    return min(int(variant.train.batch_size), num_rows)


def num_steps(variant: Variant, num_rows: int) -> int:
    """Return how many optimizer steps one epoch over ``num_rows`` training rows takes."""
    size = batch_size(variant, num_rows)
    return num_rows // size if variant.train.drop_last else math.ceil(num_rows / size)


def dtype_of(variant: Variant) -> torch.dtype:
    """Return the floating-point type of the variant's weights and data."""
    return {"float32": torch.float32, "float64": torch.float64}[variant.train.weights_precision]
