"""Outputs of one trained module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["predict"]


def predict(module: nn.Module, x_NF: Tensor, *, batch: int = 4096) -> Tensor:
    """Outputs of ``module`` in evaluation mode, (rows, outputs), computed ``batch`` rows at a time;
    no gradients.

    Args:
        module: one model; put into evaluation mode.
        x_NF: (rows, *in_shape).
        batch: rows at a time; bounds memory.
    """
    module.eval()
    with torch.inference_mode():
        outputs = torch.cat([module(x) for x in x_NF.split(batch)])
    return outputs.unsqueeze(-1) if outputs.dim() == 1 else outputs
