"""Metrics on NumPy arrays, and as a fleet adds them up. Oracle: scikit-learn called directly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from sklearn import calibration, metrics

from winnow.metrics import METRICS, BaseMetric
from winnow.testing import check_metric
from winnow.training._metrics import membership, open_metric_state

Oracle = Callable[[np.ndarray, np.ndarray], float]


def one_against_the_rest(score: Any) -> Oracle:
    def mean(y: np.ndarray, p: np.ndarray) -> float:
        classes = [1] if p.shape[1] == 2 else np.unique(y)
        return float(np.mean([score(y == c, p[:, c]) for c in classes]))

    return mean


def recall(y: np.ndarray, guess: np.ndarray) -> float:
    """`balanced_accuracy_score` is this, and warns of classes that are predicted and have no
    rows.
    """
    return float(
        metrics.recall_score(y, guess, labels=np.unique(y), average="macro", zero_division=0)
    )


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    right, confidence = p.argmax(axis=1) == y, p.max(axis=1)
    shares, means = calibration.calibration_curve(right, confidence, n_bins=15)
    # the curve leaves out empty bins
    rows = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], confidence))
    return float((np.abs(shares - means) * rows[rows > 0]).sum() / len(y))


ORACLES: dict[str, Oracle] = {  # a metric without an entry fails
    "accuracy": lambda y, p: metrics.accuracy_score(y, p.argmax(1)),
    "balanced_accuracy": lambda y, p: recall(y, p.argmax(1)),
    "roc_auc": one_against_the_rest(metrics.roc_auc_score),
    "log_loss": lambda y, p: metrics.log_loss(y, p, labels=range(p.shape[1])),
    "macro_f1": lambda y, p: metrics.f1_score(y, p.argmax(1), average="macro", zero_division=0),
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
    "mse": metrics.mean_squared_error,
    "mape": metrics.mean_absolute_percentage_error,
    "ece": calibration_error,
    "brier": lambda y, p: ((p - np.eye(p.shape[1])[y]) ** 2).sum(1).mean() / 2,
    "average_precision": one_against_the_rest(metrics.average_precision_score),
}
ALL = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


def drawn(metric: type[BaseMetric], case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets, raw outputs of three members and the half of each row, of which nothing is equal.

    ``ties``: outputs are few different values; ``absent``: the last class has no rows.
    """
    rng = np.random.default_rng(len(case))
    half = rng.permutation(np.arange(90) % 3 // 2)  # of 60 and 30 rows
    if metric.task == "regression":
        y = rng.normal(size=90)
        outputs = y + rng.normal(size=(3, 90))
        return y, (outputs.round(1) if case == "ties" else outputs)[..., None], half
    classes = 2 if case == "two" else 4
    y = rng.integers(0, classes - (case == "absent"), 90)
    outputs = rng.normal(size=(3, 90, classes)) + np.eye(classes)[y]
    return y, outputs.round() if case == "ties" else outputs, half


def predictions(metric: type[BaseMetric], outputs: np.ndarray) -> np.ndarray:
    """As evaluation hands them over."""
    if metric.task == "classification":
        return special.softmax(outputs, axis=-1)
    return 2.5 * outputs[..., 0] + 7


def targets(metric: type[BaseMetric], y: np.ndarray) -> np.ndarray:
    return y if metric.task == "classification" else 2.5 * y + 7


@ALL
def test_a_metric_is_scikit_learns_and_keeps_its_contract(metric: type[BaseMetric]) -> None:
    check_metric(metric, ORACLES[metric.name])


@ALL
@pytest.mark.parametrize("case", ["two", "more", "ties", "absent"])
@pytest.mark.parametrize("size", [1, 7, 90])
def test_a_fleet_adds_up_to_the_value_on_all_rows(
    metric: type[BaseMetric], case: str, size: int
) -> None:
    y, outputs, half = drawn(metric, case)
    metric_state = open_metric_state(metric.task, metric.name, scale=2.5, center=7, parts=2)
    pieces = (torch.tensor(outputs).split(size, 1), torch.tensor(y).split(size))
    for x, t, h in zip(*pieces, torch.tensor(half).split(size), strict=True):
        metric_state.add(x, t, membership(h, 2))
    sums_VGK = metric_state.sums().numpy()
    found_VG = metric_state.metrics(sums_VGK, metric_state.groups)[metric.name]
    for member, found_G in zip(outputs, found_VG, strict=True):
        for found, rows in zip(found_G, (half == 0, half == 1, half < 2), strict=True):
            truth, guess = targets(metric, y[rows]), predictions(metric, member[rows])
            assert found == pytest.approx(metric.value(truth, guess), rel=1e-9)
    # The halves at epochs of their own: here the one of member 0, the other of member 1.
    both = np.stack([sums_VGK[0, 0] + sums_VGK[1, 1]])[:, None]
    mixed = np.where((half == 0)[:, None], outputs[0], outputs[1])
    truth, guess = targets(metric, y), predictions(metric, mixed)
    expected = (
        metric.value(truth, guess)
        if metric.added_up
        else np.mean([metric.value(truth[half == h], guess[half == h]) for h in (0, 1)])
    )
    found = metric_state.metrics(both, [[0, 1]])[metric.name][0, 0]
    assert found == pytest.approx(expected, rel=1e-9)


@ALL
def test_what_is_perfect_has_the_best_score_and_what_is_wrong_a_worse(
    metric: type[BaseMetric],
) -> None:
    y, _, _ = drawn(metric, "more")
    truth = targets(metric, y)
    perfect = np.eye(4)[y] if metric.task == "classification" else truth
    wrong = np.eye(4)[(y + 1) % 4] if metric.task == "classification" else truth + 1

    best = metric.value(truth, perfect)

    assert best == pytest.approx(metric.bounds[1 if metric.higher_is_better else 0], abs=1e-12)
    assert (metric.value(truth, wrong) < best) is metric.higher_is_better


def test_metrics_are_read_without_torch_and_numpy() -> None:
    code = "import sys, winnow.metrics; print([n for n in ('torch', 'numpy') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_names_and_labels_are_different() -> None:
    for words in ([m.name for m in METRICS], [m.label for m in METRICS]):
        assert len(set(words)) == len(METRICS)
    aliases = [alias for m in METRICS for alias in m.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not {m.name for m in METRICS} & set(aliases)
