"""On a GPU, where there is one: the same numbers, and the step as a CUDA graph. Skipped
elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.training import architectures
from torch import nn

from winnow.data import prepare
from winnow.methods import SGD
from winnow.recipe import Data, Model, Train, Variant
from winnow.training import train_fleet

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is at hand")

DATA = Data.arrays(
    np.random.default_rng(0).normal(size=(90, 12)),
    np.random.default_rng(1).integers(0, 3, size=90).astype(int),
    task="classification",
)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "captured"])
@pytest.mark.parametrize(
    "model",
    [architectures.Plain, architectures.Normed, architectures.Recurrent],
    ids=lambda m: m.__name__,
)
def test_a_fleet_on_the_gpu_equals_solo_runs_on_the_processor(
    model: type[nn.Module], compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(DATA)
    settings: dict[str, Any] = {
        "batch_size": 16,
        "precision": "float64",
        "dropout": 0.2,
        "drop_last": False,
    }
    variants = [
        Variant(
            data=DATA,
            model=Model(model),
            train=Train(epochs=3 + seed % 2, optimizer=SGD(lr=0.1 + seed / 50), **settings),
            metric="accuracy",
            seed=seed,
        )
        for seed in range(6)
    ]
    fleet = train_fleet(variants, prepared, stacked=True, compiled=compiled)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for together, one in zip(fleet, variants, strict=True):
        (alone,) = train_fleet([one], prepared)
        for name, tensor in (together.weights or {}).items():
            torch.testing.assert_close(tensor, (alone.weights or {})[name], rtol=1e-8, atol=1e-8)
