"""Evaluation of trained models on the test rows. Oracles: scikit-learn on outputs computed
here, by hand, from the module.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import datasets, metrics

from winnow.errors import ModelError
from winnow.evaluation import Evaluation, evaluate
from winnow.execution import Workspace
from winnow.methods import SGD
from winnow.recipe import Data, Final, Model, Recipe, Train
from winnow.study import TrainingResult, train


def trained_on(source: str, path: Path, lr: float) -> TrainingResult:
    recipe = Recipe(
        data=Data(source=source),
        model=Model("mlp", args={"width": 8, "depth": 1}),
        train=Train(epochs=5, batch_size=16, optimizer=SGD(lr=lr)),
        final=Final(seeds=3),
    )
    return train(recipe, workspace=Workspace.open(path))


@pytest.fixture(scope="module")
def iris(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return trained_on("sklearn:iris", tmp_path_factory.mktemp("iris"), 0.05)


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return trained_on("sklearn:diabetes", tmp_path_factory.mktemp("diabetes"), 0.02)


def outputs(trained: TrainingResult, i: int) -> torch.Tensor:
    with torch.no_grad():
        return trained.module(i)(torch.tensor(trained.prepared.test.X)).double()


def test_classification_equals_scikit_learn_member_by_member(iris: TrainingResult) -> None:
    evaluation = evaluate(iris)
    y = datasets.load_iris().target[iris.prepared.test.index]
    assert evaluation.truth.tolist() == y.tolist()
    assert evaluation.rows == 30
    assert evaluation.per_seed.keys() == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "roc_auc",
        "log_loss",
    }
    for i in range(3):
        p = outputs(iris, i).softmax(1).numpy()
        assert evaluation.per_seed["accuracy"][i] == pytest.approx(
            metrics.accuracy_score(y, p.argmax(1))
        )
        assert evaluation.per_seed["roc_auc"][i] == pytest.approx(
            metrics.roc_auc_score(y, p, multi_class="ovr")
        )
        assert evaluation.per_seed["log_loss"][i] == pytest.approx(metrics.log_loss(y, p))
    assert len(set(evaluation.per_seed["log_loss"])) == 3  # three different members


def test_what_ships_is_the_best_on_validation_rows(iris: TrainingResult) -> None:
    evaluation = evaluate(iris)
    p = outputs(iris, iris.best).softmax(1).numpy()
    np.testing.assert_allclose(evaluation.predictions, p, rtol=1e-6)
    assert evaluation.shipped == {
        name: values[iris.best] for name, values in evaluation.per_seed.items()
    }
    expected = metrics.confusion_matrix(evaluation.truth, p.argmax(1))
    assert evaluation.confusion is not None
    assert evaluation.confusion.tolist() == expected.tolist()
    assert evaluation.classes == ("setosa", "versicolor", "virginica")


def test_intervals_cover_seeds_and_rows(iris: TrainingResult) -> None:
    evaluation = evaluate(iris)
    for name, values in evaluation.per_seed.items():
        found = evaluation.metrics[name]
        assert found.mean == pytest.approx(np.mean(values))
        assert (found.n, found.confidence) == (3, 0.95)
        assert found.low < found.mean < found.high or found.mean in (0, 1)
    # at least what the 30 rows leave open, were there only one training
    share = evaluation.metrics["accuracy"]
    assert share.high - share.low >= 0.9 * 2 * 1.96 * np.sqrt(share.mean * (1 - share.mean) / 30)
    assert 0 <= share.low < share.high <= 1
    assert any("30 test rows are few" in note for note in evaluation.notes)
    assert any(
        "3 trainings and the choice of the 30 test rows" in note for note in evaluation.notes
    )


def test_regression_is_measured_in_the_units_of_the_target(diabetes: TrainingResult) -> None:
    evaluation = evaluate(diabetes)
    y = datasets.load_diabetes().target
    train_y = y[diabetes.prepared.train.index]
    np.testing.assert_allclose(evaluation.truth, y[diabetes.prepared.test.index], rtol=1e-5)
    for i in range(3):
        prediction = outputs(diabetes, i).numpy().reshape(-1) * train_y.std() + train_y.mean()
        assert evaluation.per_seed["rmse"][i] == pytest.approx(
            metrics.root_mean_squared_error(evaluation.truth, prediction), rel=1e-5
        )
        assert evaluation.per_seed["r2"][i] == pytest.approx(
            metrics.r2_score(evaluation.truth, prediction), rel=1e-4
        )
    assert evaluation.shipped.keys() == {"mse", "rmse", "mae", "r2"}
    assert evaluation.confusion is None
    assert evaluation.classes is None


@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_the_document_is_strict_json_and_in_the_ledger(
    data: str, request: pytest.FixtureRequest
) -> None:
    trained: TrainingResult = request.getfixturevalue(data)
    evaluation = evaluate(trained)
    document = trained.workspace.ledger.get_document("evaluation")
    assert document == evaluation.to_dict() == json.loads(json.dumps(document, allow_nan=False))
    assert document.keys() == {
        "task",
        "metrics",
        "per_seed",
        "shipped",
        "confusion",
        "classes",
        "rows",
        "scatter",
        "notes",
    }
    assert (document["scatter"] is None) == (data == "iris")


def test_a_long_scatter_is_thinned_evenly() -> None:
    y = np.arange(5000.0)
    document = Evaluation("regression", {}, {}, {}, None, None, y, y + 1).to_dict()
    truth = document["scatter"]["truth"]
    assert len(truth) == 500
    assert truth[0] == 0
    assert truth[-1] == 4999
    assert set(np.diff(truth)) == {10, 11}
    assert document["scatter"]["prediction"][7] == truth[7] + 1


def partly(trained: TrainingResult, **changes: Any) -> Any:
    """The trained members with some attributes replaced."""
    names = (
        "recipe",
        "variants",
        "metric",
        "outcomes",
        "best",
        "prepared",
        "workspace",
        "finished",
        "module",
    )
    return SimpleNamespace(**{**{name: getattr(trained, name) for name in names}, **changes})


def test_failed_members_are_left_out_and_counted(iris: TrainingResult) -> None:
    left = [i for i in range(3) if i != (iris.best + 1) % 3]
    evaluation = evaluate(partly(iris, finished=left))
    full = evaluate(iris)
    assert evaluation.per_seed["log_loss"] == [full.per_seed["log_loss"][i] for i in left]
    assert evaluation.shipped == full.shipped
    assert "1 of 3 final trainings failed and are not in these figures" in evaluation.notes


@pytest.mark.parametrize("left", [[0, 2], [0]])
def test_a_class_without_test_rows_is_said_beside_roc_auc(
    iris: TrainingResult, left: list[int]
) -> None:
    test = iris.prepared.test
    keep = np.isin(test.y, left)
    short = SimpleNamespace(
        task="classification",
        classes=iris.prepared.classes,
        test=SimpleNamespace(y=test.y[keep]),
        batches=lambda part, dtype: [(torch.tensor(test.X[keep]), torch.tensor(test.y[keep]))],
    )
    evaluation = evaluate(partly(iris, prepared=short))
    assert evaluation.rows == keep.sum()
    if len(left) == 1:
        assert "roc_auc" not in evaluation.metrics
        assert (
            "no ROC AUC: the test rows hold no row of class versicolor, virginica"
            in evaluation.notes
        )
    else:
        areas = [
            metrics.roc_auc_score(evaluation.truth == c, evaluation.predictions[:, c]) for c in left
        ]
        assert evaluation.shipped["roc_auc"] == pytest.approx(np.mean(areas))
        assert (
            "ROC AUC is the mean without class versicolor, of which the test rows hold no row"
            in evaluation.notes
        )


def test_outputs_that_are_not_finite_are_an_error(iris: TrainingResult) -> None:
    def broken(i: int) -> torch.nn.Module:
        module = iris.module(i)
        with torch.no_grad():
            module.head.bias[0] = torch.inf  # type: ignore[union-attr, index]
        return module

    with pytest.raises(
        ModelError, match="member 0 gives outputs that are not finite for 30 of 30 test rows"
    ):
        evaluate(partly(iris, module=broken))
