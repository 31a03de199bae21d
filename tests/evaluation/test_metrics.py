"""Metrics on hand-made cases. Oracles: hand arithmetic, and scikit-learn called directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special
from sklearn import metrics

from winnow.data import softmax
from winnow.evaluation import classification_metrics, confusion_matrix, regression_metrics

Y = np.array([0, 0, 0, 1, 1, 2])
P = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.5, 0.3, 0.2],
        [0.2, 0.6, 0.2],
        [0.1, 0.8, 0.1],
        [0.3, 0.3, 0.4],
        [0.1, 0.1, 0.8],
    ]
)


def test_three_classes_by_hand() -> None:
    # predicted: 0 0 1 1 2 2
    m = classification_metrics(Y, P)
    assert m["accuracy"] == pytest.approx(4 / 6)
    assert m["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # 2 tp / (2 tp + fp + fn): 4/5, 2/4, 2/3
    assert m["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert m["log_loss"] == pytest.approx(-sum(map(math.log, [0.7, 0.5, 0.2, 0.8, 0.3, 0.8])) / 6)
    # pairs ranked rightly: class 0: 8 of 9; class 1: 1 x 4 + (0.3 against 0.2, 0.3, 0.6, 0.1) 2.5 =
    # 6.5 of 8; class 2: 5 of 5
    assert m["roc_auc"] == pytest.approx((8 / 9 + 6.5 / 8 + 1) / 3)


def test_two_classes_by_hand() -> None:
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9])
    m = classification_metrics(y, np.stack([1 - p, p], axis=1))
    assert m["accuracy"] == m["balanced_accuracy"] == m["macro_f1"] == pytest.approx(0.5)
    assert m["roc_auc"] == pytest.approx(3 / 4)
    assert m["log_loss"] == pytest.approx(
        -(math.log(0.9) + math.log(0.4) + math.log(0.4) + math.log(0.9)) / 4
    )


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_random_cases_equal_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    y = rng.integers(0, classes, 200)
    p = softmax(rng.normal(size=(200, classes)) + 1.5 * np.eye(classes)[y])
    m, guess = classification_metrics(y, p), p.argmax(1)
    assert m["accuracy"] == pytest.approx(metrics.accuracy_score(y, guess))
    assert m["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(y, guess))
    assert m["macro_f1"] == pytest.approx(metrics.f1_score(y, guess, average="macro"))
    assert m["log_loss"] == pytest.approx(metrics.log_loss(y, p))
    assert m["roc_auc"] == pytest.approx(
        metrics.roc_auc_score(y, p[:, 1] if classes == 2 else p, multi_class="ovr")
    )


def test_roc_auc_is_left_out_when_a_class_has_no_rows() -> None:
    m = classification_metrics(Y[:5], P[:5])
    assert m.keys() == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"}
    # Class 2 is predicted, but has no rows
    assert m["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert all(math.isfinite(v) for v in m.values())
    assert "roc_auc" not in classification_metrics(
        np.array([1, 1]), np.array([[0.5, 0.5], [0.2, 0.8]])
    )


def test_certainty_in_the_wrong_class_stays_finite() -> None:
    assert math.isfinite(
        classification_metrics(np.array([0, 1]), np.array([[0.0, 1.0], [1.0, 0.0]]))["log_loss"]
    )


def test_regression_by_hand() -> None:
    m = regression_metrics(np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 3.0, 3.0, 3.0]))
    assert m == pytest.approx(
        {"mse": 10 / 4, "rmse": math.sqrt(2.5), "mae": 1.0, "r2": 1 - 10 / 14}
    )


def test_r2_is_left_out_when_the_target_is_constant() -> None:
    assert regression_metrics(np.array([2.0, 2.0]), np.array([1.0, 4.0])) == pytest.approx(
        {"mse": 2.5, "rmse": math.sqrt(2.5), "mae": 1.5}
    )


def test_confusion_counts_rows_by_truth() -> None:
    assert confusion_matrix(Y, P.argmax(1), 4).tolist() == [
        [2, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 0],
    ]


def test_softmax_equals_scipys_and_does_not_overflow() -> None:
    z = np.array([[1000.0, 999.0, -1000.0], [0.1, 0.2, 0.3]], dtype=np.float32)
    assert softmax(z).dtype == np.float64
    np.testing.assert_allclose(
        softmax(z), special.softmax(z.astype(np.float64), axis=1), rtol=1e-14
    )
    assert (
        np.abs(
            softmax(np.random.default_rng(0).normal(size=(1000, 50)).astype(np.float32)).sum(1) - 1
        ).max()
        < 1e-12
    )


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        (
            Y,
            P[:5],
            r"expected y \(rows,\) and probabilities \(rows, classes\).*got \(6,\), \(5, 3\)",
        ),
        (Y[:0], P[:0], "at least one row"),
        (Y, P[:, :1], "two classes"),
        (Y + 1, P, "expected class indices 0 to 2 in y, found 1 to 3"),
        (Y, P * 2, "every row summing to 1"),
        (Y, P * np.nan, "finite"),
        (Y, np.array([[1.5, -0.5, 0.0]] * 6), "not negative"),
    ],
)
def test_what_is_no_probability_is_refused(y: np.ndarray, p: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(y, p)


def test_what_is_no_prediction_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"as \(rows,\), at least one row, got \(3,\) and \(3, 1\)"
    ):
        regression_metrics(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(ValueError, match="expected finite values"):
        regression_metrics(np.zeros(2), np.array([0.0, np.nan]))
