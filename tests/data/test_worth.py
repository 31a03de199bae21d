"""How far one validation row can move a score. Oracle: scikit-learn's scores where the
prediction of one row is changed.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from winnow.data import prepare, row_worth
from winnow.data._worth import rounded_up, validation_counts
from winnow.recipe import Data, metric_of

MADE = np.random.default_rng(3)


def score(metric: str, y: np.ndarray, p: np.ndarray, half: np.ndarray) -> float:
    """As training scores: balanced accuracy over all rows, the area as the mean of the halves'."""
    if metric == "balanced_accuracy":
        return float(metrics.balanced_accuracy_score(y, p.argmax(axis=1)))
    if metric == "macro_f1":
        return float(metrics.f1_score(y, p.argmax(axis=1), average="macro", zero_division=0))
    areas = []
    for h in np.unique(half):
        mine = half == h
        classes = [1] if p.shape[1] == 2 else np.unique(y[mine])
        of = (
            metrics.roc_auc_score if metric == "roc_auc" else metrics.average_precision_score
        )  # of each class against the rest
        areas.append(np.mean([of(y[mine] == c, p[mine, c]) for c in classes]))
    return float(np.mean(areas))


def farthest(metric: str, y: np.ndarray, half: np.ndarray, *, tries: int) -> float:
    """The farthest that the score moved when one row got another prediction, over random
    predictions of all rows.
    """
    classes, found = int(y.max()) + 1, 0.0
    for _ in range(tries):
        p = MADE.dirichlet(np.ones(classes), size=len(y))
        before = score(metric, y, p, half)
        for row in range(len(y)):
            for answer in (*np.eye(classes), (1 - np.eye(classes)[y[row]]) / (classes - 1)):
                changed = p.copy()
                changed[row] = answer
                found = max(found, abs(score(metric, y, changed, half) - before))
    return found


def of_counts(metric: str, counts_HC: np.ndarray) -> float:
    worth = metric_of(metric).row_worth(int(counts_HC.sum()), lambda: counts_HC)
    assert worth is not None
    return worth


def counts(y: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.stack(
        [np.bincount(y[half == h], minlength=int(y.max()) + 1) for h in np.unique(half)]
    )


@pytest.mark.parametrize(
    "metric", ["balanced_accuracy", "roc_auc", "macro_f1", "average_precision"]
)
@pytest.mark.parametrize("sizes", [(9, 4), (5, 5), (8, 5, 4)])
@pytest.mark.parametrize("halved", [False, True])
def test_no_row_moves_a_score_farther(metric: str, sizes: tuple[int, ...], halved: bool) -> None:
    y = np.repeat(np.arange(len(sizes)), sizes)
    half = np.arange(len(y)) % 2 if halved else np.zeros(len(y), dtype=int)
    worth = of_counts(metric, counts(y, half))
    found = farthest(metric, y, half, tries=2)
    assert found <= worth + 1e-12
    if metric == "balanced_accuracy":
        assert found == pytest.approx(worth)


def test_one_row_can_reach_the_bound_of_the_area() -> None:
    y, half = np.array([0] * 6 + [1] * 4), np.arange(10) % 2
    p = np.linspace(0.1, 0.9, 10)
    areas = [
        score("roc_auc", y, np.stack([1 - p, np.where(np.arange(10) == 6, x, p)], axis=1), half)
        for x in (0.0, 1.0)
    ]
    # 2 halves, 2 rows of class 1
    assert areas[1] - areas[0] == pytest.approx(of_counts("roc_auc", counts(y, half))) == 1 / 4


def test_a_row_of_three_classes_moves_the_areas_of_the_others_too() -> None:
    y, half = np.repeat([0, 1, 2], 2), np.zeros(6, dtype=int)
    # the two others of class 0 and the rows of 1 and 2 stand so that row 0 passes all of them in
    # all three areas
    p = np.array(
        [
            [0, 0.5, 0.5],
            [0.5, 0.25, 0.25],
            [0.5, 0.4, 0.1],
            [0.5, 0.4, 0.1],
            [0.5, 0.1, 0.4],
            [0.5, 0.1, 0.4],
        ]
    )
    worst = score("roc_auc", y, p, half)
    p[0] = [1, 0, 0]
    assert (
        score("roc_auc", y, p, half) - worst
        == pytest.approx(of_counts("roc_auc", counts(y, half)))
        == pytest.approx(1 / 3)
    )


def test_of_prepared_rows_and_the_metrics_that_have_no_bound() -> None:
    data = Data(source="sklearn:breast_cancer")
    prepared = prepare(data)
    y = prepared.validation.y  # type: ignore[union-attr]
    by_half = validation_counts(prepared, data.split.seed)
    assert by_half.shape == (2, 2)
    assert by_half.sum(axis=0).tolist() == np.bincount(y).tolist()
    assert row_worth(prepared, "accuracy", 0) == 1 / len(y)
    assert row_worth(prepared, "balanced_accuracy", data.split.seed) == pytest.approx(
        1 / (2 * np.bincount(y).min())
    )
    assert row_worth(prepared, "roc_auc", data.split.seed) == pytest.approx(1 / (2 * by_half.min()))
    assert row_worth(prepared, "log_loss", 0) is None
    assert row_worth(prepare(Data(source="sklearn:diabetes")), "r2", 0) is None


@pytest.mark.parametrize(
    ("value", "up"), [(1 / 22, 0.046), (0.025, 0.025), (0.1, 0.1), (1 / 3, 0.34), (0.0, 0.0)]
)
def test_rounded_up_to_two_digits(value: float, up: float) -> None:
    assert rounded_up(value) == up
