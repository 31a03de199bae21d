"""How far a validation score is from the truth: that of the halves, and that of the best epoch on
the rows that chose it.

The truth is the score of the kept weights on many rows that nobody has seen. What the validation
rows of one split have of luck is the same for every model; a linear model on the same rows, which
chooses no epoch, tells most of it, and it is subtracted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from winnow.data import PreparedData, prepare
from winnow.methods import AdamW
from winnow.models import build
from winnow.recipe import Data, Model, Split, Train, Variant
from winnow.training import train_fleet
from winnow.training._predict import predict


def generated(seed: int) -> Data:
    """150 rows to train on, 60 that choose, 2790 that nobody has seen."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3000, 8))
    signal = X[:, 0] + 0.7 * X[:, 1] * X[:, 2] + 1.2 * rng.normal(size=3000)
    return Data.arrays(
        X,
        (signal > 0).astype(int),
        task="classification",
        split=Split(test=0.93, validation=0.02, seed=seed),
    )


def table(name: str, seed: int) -> Data:
    return Data(source=f"sklearn:{name}", split=Split(seed=seed))


def biases(
    data: Data, prepared: PreparedData, *, epochs: int, seeds: int = 2, **train: Any
) -> tuple[float, float]:
    """Of one split: validation accuracy less that on the test rows, of the halves and of the
    best epoch; means over seeds.
    """
    settings = Train(epochs=epochs, batch_size=16, optimizer=AdamW(lr=0.01), **train)
    model = Model("mlp", width=32, depth=2)
    variants = [
        Variant(data=data, model=model, train=settings, metric="accuracy", seed=i)
        for i in range(seeds)
    ]
    linear = LogisticRegression().fit(prepared.train.X, prepared.train.y)
    luck = linear.score(prepared.validation.X, prepared.validation.y) - linear.score(
        prepared.test.X, prepared.test.y
    )
    x, y = prepared.tensors("test")
    found = []
    for finished in train_fleet(variants, prepared):
        outcome = finished.outcome
        module = build(
            model, in_shape=prepared.in_shape, out_features=prepared.out_features, seed=0
        )
        module.load_state_dict(finished.weights or {})
        truth = float((predict(module, x).argmax(dim=1) == y).double().mean())
        found.append(
            (
                outcome.score - truth - luck,
                max(outcome.curves["validation_accuracy"]) - truth - luck,
            )
        )
    halves, best = np.mean(found, axis=0)
    return float(halves), float(best)


def summary(found: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Means and their standard errors over splits, of the halves and of the best epoch."""
    return np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(len(found))


def test_the_best_epoch_is_optimistic_and_the_halves_are_not() -> None:
    found = []
    for seed in range(25):
        data = generated(seed)
        found.append(biases(data, prepare(data), epochs=15, seeds=1))
    (halves, best), (halves_error, best_error) = summary(found)
    assert best > 3 * best_error
    assert halves < 2.5 * halves_error
    assert best - halves > 0.015


@pytest.mark.slow
def test_over_many_splits_the_score_is_not_optimistic() -> None:
    found = []
    for seed in range(150):
        data = generated(1000 + seed)
        found.append(biases(data, prepare(data), epochs=30))
    (halves, best), (halves_error, best_error) = summary(found)
    print(
        f"generated: halves {halves:+.4f} (standard error {halves_error:.4f}), best epoch "
        f"{best:+.4f} ({best_error:.4f})"
    )
    assert best > 0.015
    assert best > 5 * best_error
    # half as many rows choose as choose the kept weights: a little below the truth is honest, above
    # it is not
    assert halves < 2.5 * halves_error
    assert -halves < best / 2 + 2.5 * halves_error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
def test_on_tables_the_score_is_true(name: str) -> None:
    found = []
    for seed in range(60):
        data = table(name, seed)
        found.append(biases(data, prepare(data), epochs=30))
    (halves, best), (halves_error, best_error) = summary(found)
    print(
        f"{name}: halves {halves:+.4f} (standard error {halves_error:.4f}), best epoch "
        f"{best:+.4f} ({best_error:.4f})"
    )
    assert best - halves > 0.002
    assert abs(halves) < 2.5 * halves_error + 0.003
