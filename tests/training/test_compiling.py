"""Whether something is being compiled can be asked meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from winnow.training import _compiled, compiling


@pytest.mark.parametrize("fails", [False, True])
def test_compiling_is_known_while_it_lasts_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    seen = []

    def compile_(graph: Any, examples: Sequence[Tensor]) -> Any:
        seen.append(compiling())
        if fails:
            raise RuntimeError("no compiler")
        return graph

    monkeypatch.setattr(_compiled, "_compile", compile_)
    monkeypatch.setattr(_compiled, "_capture", lambda *_: None)
    monkeypatch.setattr(_compiled, "_COMPILED", {})
    assert not compiling()

    inputs = {"x": torch.ones(2, 3), "positions": torch.arange(2)}
    if fails:
        with pytest.warns(RuntimeWarning, match="no compiler"):
            _compiled.compiled(
                "sums", lambda x, positions: x.sum(1), nn.Identity(), inputs, fleet=2, block=2
            )
    else:
        _compiled.compiled(
            "sums", lambda x, positions: x.sum(1), nn.Identity(), inputs, fleet=2, block=2
        )

    assert seen == [True]
    assert not compiling()
