"""An optimizer that nothing in the library names: its state has shapes and types of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from winnow.methods import SGD


class Counting(SGD):
    """Momentum whose steps shrink with the number of the member's steps, and grow with the largest
    gradient that each parameter has seen.
    """

    @classmethod
    def init(cls, params: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        return {
            name: {
                "momentum": torch.zeros_like(param),
                "largest": torch.zeros_like(param),
                "seen": torch.zeros(param.shape[0], 1, dtype=torch.int64),
            }
            for name, param in params.items()
        }

    @staticmethod
    def update_(
        param: Tensor,
        grad: Tensor,
        state: dict[str, Tensor],
        *,
        lr: Tensor,
        momentum: Tensor,
        **_: Any,
    ) -> None:
        state["seen"].add_(1)
        state["largest"].copy_(torch.maximum(state["largest"], grad.abs()))
        state["momentum"].mul_(momentum).add_(grad)
        param.sub_(lr * state["momentum"] * (1 + state["largest"]) / state["seen"].sqrt())


def use_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``sgd`` step as ``Counting`` does."""
    for name in ("init", "update_"):
        monkeypatch.setattr(SGD, name, vars(Counting)[name])
