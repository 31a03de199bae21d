"""Outputs of one trained module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from winnow.trees import Tree, call, leaves, main, map_tree

__all__ = ["predict"]


def predict(module: nn.Module, x_NF: Tree, *, batch: int = 4096) -> Tensor:
    """Return the main outputs of ``module`` in evaluation mode, (rows, outputs); no gradients.

    Args:
        module: one model; put into evaluation mode.
        x_NF: inputs, each (rows, ...).
        batch: rows at a time; bounds memory.
    """
    module.eval()
    outputs = []
    with torch.inference_mode():
        for start in range(0, len(leaves(x_NF)[0]), batch):
            rows = slice(start, start + batch)
            chunk = map_tree(lambda tensor, rows=rows: tensor[rows], x_NF)
            outputs.append(main(call(module, chunk)))
    found = torch.cat(outputs)
    return found.unsqueeze(-1) if found.dim() == 1 else found
