"""Rows of zeros to try a model on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from winnow.trees import Input, Tree, as_inputs, map_tree

__all__ = ["example_rows"]


def example_rows(in_shape: Tree, rows: int, module: nn.Module) -> Tree:
    """Return zeros for each input, (rows, *shape), floats in the precision of the module.

    Args:
        in_shape: of one row, or a tree of ``trees.Input``.
        rows: how many.
        module: that they are for.
    """
    real = next((p.dtype for p in module.parameters()), torch.float32)

    def zeros(one: Input) -> Tensor:
        dtype = real if one.is_float else getattr(torch, one.dtype)
        return torch.zeros(rows, *one.shape, dtype=dtype)

    return map_tree(zeros, as_inputs(in_shape))
