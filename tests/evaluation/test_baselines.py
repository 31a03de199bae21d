"""Baselines on the test rows. Oracles: scikit-learn fitted here, hand arithmetic; tables where
the answer is known.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import ensemble, linear_model, metrics, preprocessing

from winnow.data import PreparedData, prepare
from winnow.evaluation import Baselines, compare_baselines, fit_baselines
from winnow.evaluation._baselines import gain_over
from winnow.recipe import Data

RNG = np.random.default_rng(4)
ROWS = 600
X = RNG.normal(size=(ROWS, 5))
# A few per cent
RARE = np.where(X[:, 0] + 0.7 * RNG.normal(size=ROWS) > 2.1, "yes", "no").astype(object)


def beside(data: Data, answer: Any, metric: str) -> tuple[Baselines, PreparedData]:
    """The baselines of a model that gives ``answer(X of the test rows, their truth)``."""
    prepared = prepare(data)
    classification = prepared.task == "classification"
    truth = prepared.test.y if classification else prepared.preparation.decode(prepared.test.y)
    predictions = answer(prepared.test.X, truth)
    return compare_baselines(
        fit_baselines(prepared, metric), prepared, metric, truth, predictions, file="0b1d"
    ), prepared


def always_no(x: np.ndarray, _: np.ndarray) -> np.ndarray:
    return np.tile([0.97, 0.03], (len(x), 1))


def ranks_only(x: np.ndarray, _: np.ndarray) -> np.ndarray:
    p = 0.4 / (1 + np.exp(-x[:, 0].astype(float)))
    return np.column_stack([1 - p, p])


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "roc_auc", "log_loss"])
def test_a_model_that_always_says_no_is_no_better_than_a_constant(metric: str) -> None:
    found, _ = beside(Data.arrays(X, RARE), always_no, metric)
    assert found.shipped["accuracy"] > 0.9  # which was sold as quality
    assert not found.beats_constant
    assert found.one_answer == "no"
    assert found.verdict.startswith(
        "no better than a constant: the model answers 'no' for every test row, and its "
        "probabilities"
    )
    assert found.for_manifest()["beats_constant"] is False


def test_where_only_probabilities_tell_rows_apart_it_is_said() -> None:
    found, _ = beside(Data.arrays(X, RARE), ranks_only, "roc_auc")
    assert found.beats_constant
    assert found.one_answer == "no"
    assert (
        found.verdict
        == "the model answers 'no' for every test row; only its probabilities tell rows apart"
    )
    found, _ = beside(Data.arrays(X, RARE), ranks_only, "accuracy")
    assert not found.beats_constant
    assert found.verdict.endswith(
        "only its probabilities tell rows apart, and by accuracy it is not shown to be better "
        "than a constant"
    )


def test_the_constant_is_the_training_rows_shares() -> None:
    found, prepared = beside(Data.arrays(X, RARE), ranks_only, "log_loss")
    constant = found.baselines[0]
    share = (prepared.train.y == 1).mean()
    assert constant.name == "constant"
    assert constant.metrics["log_loss"] == pytest.approx(
        metrics.log_loss(prepared.test.y, np.full(len(prepared.test), share))
    )
    assert constant.metrics["accuracy"] == pytest.approx((prepared.test.y == 0).mean())
    assert constant.metrics["roc_auc"] == 0.5


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_of_numbers_the_constant_is_the_mean_or_the_median(metric: str) -> None:
    y = np.exp(X[:, 0]) + 10
    found, prepared = beside(Data.arrays(X, y), lambda x, truth: truth + 0.1, metric)
    train, test = (y[part.index] for part in (prepared.train, prepared.test))
    constant = found.baselines[0].metrics
    assert (
        constant["rmse"] == pytest.approx(np.sqrt(np.mean((test - train.mean()) ** 2)), rel=1e-5)
        or metric == "mae"
    )
    assert constant["mae"] == pytest.approx(np.mean(np.abs(test - np.median(train))), rel=1e-5)
    assert found.beats_constant
    assert found.verdict == f"better than a constant by {metric}"


def test_a_model_no_better_than_a_linear_one_is_told_beside_the_constant() -> None:
    noise = np.random.default_rng(0).normal(size=len(X))
    found, _ = beside(
        Data.arrays(X, X[:, 0] + 0.1 * noise),
        lambda x, truth: truth + 0.5 * np.resize(noise, len(truth)),
        "rmse",
    )

    assert found.beats_constant
    assert found.verdict.startswith(
        "better than a constant by rmse, not shown to be better than a linear model"
    )


def test_linear_and_boosting_are_scikit_learns_on_the_training_rows() -> None:
    found, prepared = beside(Data.arrays(X, RARE), ranks_only, "roc_auc")
    scaler = preprocessing.StandardScaler().fit(prepared.train.X)
    linear = linear_model.LogisticRegression().fit(
        scaler.transform(prepared.train.X), prepared.train.y
    )
    boosting = ensemble.HistGradientBoostingClassifier(early_stopping=False).fit(
        prepared.train.X, prepared.train.y
    )
    for baseline, model, features in zip(
        found.baselines[1:],
        (linear, boosting),
        (scaler.transform(prepared.test.X), prepared.test.X),
        strict=True,
    ):
        p = model.predict_proba(features).astype(float)
        p /= p.sum(axis=1, keepdims=True)
        assert baseline.metrics["roc_auc"] == pytest.approx(
            metrics.roc_auc_score(prepared.test.y, p[:, 1]), abs=1e-3
        )
        assert baseline.metrics["log_loss"] == pytest.approx(
            metrics.log_loss(prepared.test.y, p), rel=1e-2
        )
    assert "the validation rows chose nothing for them" in found.notes[-1]


def test_a_baseline_that_is_better_is_named() -> None:
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    found, _ = beside(
        Data.arrays(X, y), lambda x, truth: always_no(x, truth)[:, [1, 0]], "accuracy"
    )
    better = [note for note in found.notes if "is better than the model that ships" in note]
    assert len(better) == 2
    assert better[0].startswith("a linear model is better than the model that ships, by 0.")
    for baseline in found.baselines[1:]:
        assert baseline.gain is not None
        assert baseline.gain.mean == pytest.approx(
            found.shipped["accuracy"] - baseline.metrics["accuracy"]
        )
        assert baseline.gain.high < 0


def test_gains_are_above_0_where_the_model_is_better_of_losses_too() -> None:
    y, good, bad = np.arange(40.0), np.arange(40.0) + 0.1, np.arange(40.0) + 2 * RNG.normal(size=40)
    for metric in ("rmse", "mae", "mse", "r2"):
        assert 0 < gain_over(metric, y, good, bad).low < gain_over(metric, y, good, bad).mean
        assert gain_over(metric, y, bad, good).mean == pytest.approx(
            -gain_over(metric, y, good, bad).mean
        )


def test_rows_that_are_pictures_leave_the_constant() -> None:
    pictures, y = RNG.normal(size=(60, 1, 4, 4)), np.arange(60) % 2
    found, _ = beside(
        Data.arrays(pictures, y), lambda x, _: np.tile([0.5, 0.5], (len(x), 1)), "accuracy"
    )
    assert [bool(b.metrics) for b in found.baselines] == [True, False, False]
    assert found.baselines[1].note == "left out: a row is an array of shape 1 x 4 x 4"
    assert not any("fitted" in note for note in found.notes)


def test_a_baseline_that_fails_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(linear_model, "LogisticRegression", fails)
    found, _ = beside(Data.arrays(X, RARE), ranks_only, "roc_auc")
    assert found.baselines[1].note == "left out: no room"
    assert found.baselines[2].metrics


def test_the_document_is_plain_json(tmp_path: Path) -> None:
    found, _ = beside(Data.arrays(X, RARE), always_no, "roc_auc")
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert [b["name"] for b in document["baselines"]] == ["constant", "linear", "boosting"]
    assert document["verdict"] == found.verdict
