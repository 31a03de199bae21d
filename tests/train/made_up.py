"""An optimiser that does not exist: its state has shapes and types of its own, and nothing in the library names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from winnow.methods._optimizers import OptimizerMethod


def counting_(
    params_VP: Tensor, grad_VP: Tensor, state: Mapping[str, Tensor], *, lr: Tensor, momentum: Tensor, step: Tensor, **_: Any
) -> None:
    """Momentum whose steps shrink with the number of the member's steps, and grow with the largest gradient that each parameter
    has seen.
    """
    state["seen"].add_(1)
    state["largest"].copy_(torch.maximum(state["largest"], grad_VP.abs()))
    state["momentum"].mul_(momentum).add_(grad_VP)
    params_VP.sub_(lr * state["momentum"] * (1 + state["largest"]) / state["seen"].sqrt())


class _Counting(OptimizerMethod):
    def init(self, params_VP: Tensor) -> dict[str, Tensor]:
        members = params_VP.shape[0]
        return {
            "momentum": torch.zeros_like(params_VP),
            "largest": torch.zeros_like(params_VP),
            "seen": torch.zeros(members, 1, dtype=torch.int64),
        }


MADE_UP = _Counting(
    counting_, ("momentum", "nesterov", "weight_decay"), ("nesterov", "weight_decay"), ("momentum", "largest", "seen")
)
