"""Intervals over rows of one model's metrics, held against the bootstrap, SciPy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from winnow.evaluate import classification_metrics, regression_metrics, row_intervals
from winnow.recipe import Task

RNG = np.random.default_rng(11)
N = 300
Y = RNG.choice(3, N, p=[0.6, 0.3, 0.1])
P = special.softmax(1.5 * np.eye(3)[Y] + RNG.standard_normal((N, 3)), axis=1)
TARGET = 20 * RNG.standard_normal(N) + 100
GUESS = TARGET + 8 * RNG.standard_normal(N)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_they_have_the_means_of_the_metrics_and_the_widths_of_the_bootstrap(task: Task) -> None:
    y, p, measure = (Y, P, classification_metrics) if task == "classification" else (TARGET, GUESS, regression_metrics)
    rng = np.random.default_rng(0)
    drawn = [measure(y[rows], p[rows]) for rows in (rng.integers(0, N, N) for _ in range(500))]

    found = row_intervals(y, p, task=task)

    assert {name: i.mean for name, i in found.items()} == measure(y, p)
    for name, interval in found.items():
        expected = 3.92 * np.std([values[name] for values in drawn])
        assert interval.high - interval.low == pytest.approx(expected, rel=0.15), name
        assert interval.low < interval.mean < interval.high


def test_accuracy_has_wilsons_interval() -> None:
    hits = int((P.argmax(axis=1) == Y).sum())
    expected = stats.binomtest(hits, N).proportion_ci(method="wilson")

    found = row_intervals(Y, P, task="classification")["accuracy"]

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_perfect_predictions_on_few_rows_are_not_known_to_be_perfect() -> None:
    y = np.repeat([0, 1], 10)

    found = row_intervals(y, np.eye(2)[y], task="classification")

    for name, interval in found.items():
        assert interval.low < interval.high, name
        assert (interval.low >= 0 and interval.high <= 1) or (name == "log_loss" and interval.low == 0)
    numbers = row_intervals(y.astype(float), y.astype(float), task="regression")
    assert all(interval.low < interval.high for interval in numbers.values())
    assert (numbers["rmse"].low, numbers["r2"].high) == (0, 1)


def test_few_rows_are_covered_as_often_as_said() -> None:
    """40 rows, two classes; the truth from a million."""
    rng = np.random.default_rng(5)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.random(n) < 0.35).astype(int)
        score = 2.0 * y - 1 + 1.2 * rng.standard_normal(n)
        p = special.expit(score)
        return y, np.column_stack([1 - p, p])

    truth = classification_metrics(*draw(1_000_000))
    covered = dict.fromkeys(truth, 0)
    for _ in range(400):
        for name, interval in row_intervals(*draw(40), task="classification").items():
            covered[name] += interval.low <= truth[name] <= interval.high

    assert all(hits / 400 >= 0.92 for hits in covered.values()), covered
    assert not math.isnan(sum(covered.values()))
