from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from winnow.ledger import Ledger
from winnow.recipe import Data, Model, Outcome, Train, Variant


@pytest.fixture
def variant() -> Callable[..., Variant]:
    def make(seed: int = 0, **changes: Any) -> Variant:
        settings: dict[str, Any] = {
            "data": Data(source="sklearn:digits"),
            "model": Model("nets:Net", hidden=[64, 64]),
            "train": Train(),
            "metric": "accuracy",
            **changes,
        }
        return Variant(seed=seed, **settings)

    return make


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    def make(variant: Variant, **changes: Any) -> Outcome:
        facts: dict[str, Any] = {
            "status": "finished",
            "score": 0.9 + variant.seed / 1000,
            "metrics": {"accuracy": 0.9 + variant.seed / 1000, "log_loss": 1 / 3},
            "curves": {"train_loss": [1.0, 0.1 + variant.seed, 1e-300], "lr": [0.1, 0.1, 0.1]},
            "best_epoch": 2,
            "epochs": 3,
            "steps": 51,
            "seconds": 0.25,
            "fleet": "stacked x 4",
            "predictions_digest": "0123456789abcdef",
            **changes,
        }
        return Outcome(variant.id, **facts)

    return make


@pytest.fixture
def failed() -> Callable[[Variant], Outcome]:
    return lambda variant: Outcome(
        variant.id,
        status="failed",
        reason="the loss became NaN in epoch 1",
        curves={"train_loss": [2.3, math.nan]},
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db") as opened:
        yield opened
