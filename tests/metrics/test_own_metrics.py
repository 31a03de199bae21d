"""A metric that is no part of winnow: in fleets, studies, evaluation, compression and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from winnow.compression._score_loss import Judge
from winnow.data import prepare
from winnow.errors import RecipeError
from winnow.metrics import Accuracy, BaseMetric
from winnow.models import build
from winnow.pipeline import run
from winnow.recipe import (
    Ablate,
    Compress,
    Data,
    Final,
    Model,
    Recipe,
    Search,
    Train,
    Uniform,
    Variant,
    metric_label,
    metric_of,
)
from winnow.stats import paired_rows, rows_interval
from winnow.training import train_fleet

HERE = f"{__name__}:"


class F2(BaseMetric):
    """Recall counts twice as much as precision."""

    task = "classification"
    higher_is_better = True
    bounds = (0.0, 1.0)

    @staticmethod
    def value(y: np.ndarray, probabilities: np.ndarray) -> float:
        told = probabilities.argmax(axis=1)
        return float(metrics.fbeta_score(y, told, beta=2, average="macro", zero_division=0))


class MedianError(BaseMetric):
    label = "median error"
    task = "regression"
    higher_is_better = False
    bounds = (0.0, float("inf"))
    in_target_units = True

    @staticmethod
    def value(y: np.ndarray, prediction: np.ndarray) -> float:
        return float(np.median(abs(y - prediction)))


class Silent(BaseMetric):
    task = "regression"


def not_one() -> None: ...


CASES = [("sklearn:wine", F2), ("sklearn:diabetes", MedianError)]


@pytest.mark.parametrize(("source", "metric"), CASES)
def test_epochs_are_chosen_by_it_and_a_half_scores_at_the_epoch_of_the_other(
    source: str, metric: type[BaseMetric]
) -> None:
    data = Data(source=source)
    prepared = prepare(data)
    recipe = Recipe(data=data, model=Model("mlp", width=8), metric=metric)
    train = Train(epochs=4, precision="float64")
    variants = [
        Variant(data=data, model=recipe.model, train=train, metric=recipe.metric, seed=seed)
        for seed in range(2)
    ]

    for finished in train_fleet(variants, prepared):
        outcome = finished.outcome
        curve = outcome.curves[f"validation_{recipe.metric}"]
        module = build(
            recipe.model, in_shape=prepared.in_shape, out_features=prepared.out_features, seed=0
        )
        module.double().load_state_dict(finished.weights or {})
        x, y = prepared.tensors("validation", train.weights_precision)
        judge = Judge(recipe.metric, prepared.task, y.numpy(), prepared.preparation.decode)
        if prepared.task == "regression":
            judge = Judge(
                recipe.metric,
                prepared.task,
                prepared.preparation.decode(y.numpy().astype(float)),
                prepared.preparation.decode,
            )
        score = judge.score(judge.predictions(module.eval()(x).detach().numpy()))

        best = max(curve) if metric.higher_is_better else min(curve)
        assert curve[outcome.best_epoch] == best == pytest.approx(score, rel=1e-9)
        assert outcome.score == outcome.metrics[recipe.metric]


def test_a_whole_run_is_scored_by_it(tmp_path: Path) -> None:
    text = Recipe(
        data=Data(source="sklearn:wine"),
        model=Model("mlp", width=8, depth=1),
        train=Train(epochs=3, dropout=Uniform(0.0, 0.5)),
        metric=F2,
        search=Search(trials=2, batch=2, leaders=1, seeds=2),
        ablate=Ablate(parts=("dropout",), seeds=2),
        final=Final(seeds=2),
        compress=Compress(budget=0.5),
    ).to_yaml()
    assert f"metric: {HERE}F2" in text

    done = run(Recipe.from_yaml(text), out=tmp_path)

    name = HERE + "F2"
    found = done.evaluation.metrics[name]
    assert 0 <= found.low < found.mean < found.high <= 1
    best = F2.value(done.evaluation.truth, done.evaluation.predictions)
    assert done.evaluation.shipped[name] == best
    documents = done.documents
    assert {documents[n]["metric"] for n in ("search", "ablation", "baselines", "compression")} == {
        name
    }
    assert name in documents["shipped"]["metrics"]
    assert "F2" in (tmp_path / "report.html").read_text()


def test_its_source_is_part_of_what_was_trained(tmp_path: Path, monkeypatch: Any) -> None:
    from winnow.execution import Runner, Workspace

    monkeypatch.syspath_prepend(tmp_path)
    body = (
        "from winnow.metrics import BaseMetric\n\n\nclass Own(BaseMetric):\n    task = "
        "'classification'\n    higher_is_better = True\n\n    @staticmethod\n"
        "    def value(y, p):\n        return {}\n"
    )
    ids = []
    for i, result in enumerate(("1.0", "2.0")):
        (tmp_path / f"own_{i}.py").write_text(body.format(result))
        recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), metric=f"own_{i}:Own")
        with Workspace.open(tmp_path / "w") as workspace:
            ids.append(Runner(workspace).context(recipe)[1])
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (HERE + "Absent", "has no 'Absent'"),
        (HERE + "not_one", "expected a subclass of winnow.metrics.BaseMetric"),
        (HERE + "Silent", "does not say its higher_is_better, value"),
        ("acuracy", "unknown metric 'acuracy' - did you mean 'accuracy'"),
    ],
)
def test_what_is_no_metric_is_refused(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        metric_of(name)


def test_one_for_another_task_is_refused() -> None:
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), metric=MedianError)
    with pytest.raises(RecipeError, match="MedianError' is not for classification"):
        recipe.check_task("classification")


def test_a_metric_of_winnows_may_be_given_as_a_class() -> None:
    recipe = Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), metric=Accuracy)
    assert recipe.metric == "accuracy"


def test_it_is_called_by_its_label() -> None:
    assert metric_label(HERE + "MedianError") == "median error"
    assert metric_label("nowhere.at_all:MyScore") == "MyScore"  # nothing is imported


# -- intervals of resampled rows -------------------------------------------------------------------


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets and the answers of two models, the second a little worse."""
    y = rng.normal(size=n)
    before = y + 0.5 * rng.normal(size=n)
    return y, before, before + 0.4 * rng.normal(size=n)


def test_gains_and_drops_cover_the_truth_as_often_as_they_say() -> None:
    truth = np.subtract(*(MedianError.value(y, p) for y, p in _both(draw(RNG(1), 400_000))))
    error = MedianError.value(*draw(RNG(1), 400_000)[:2])
    gains = drops = scores = 0
    for seed in range(60):
        y, before, after = draw(RNG(seed), 120)
        gain = paired_rows(MedianError, y, before, after)
        drop = Judge(HERE + "MedianError", "regression", y, lambda raw: raw).drop(before, after)
        score = rows_interval(MedianError, y, [before], [MedianError.value(y, before)])
        gains += gain.low <= -truth <= gain.high
        drops += drop.low <= -truth <= drop.high
        scores += score.low <= error <= score.high
    assert 54 <= gains <= 60
    assert 54 <= drops <= 60
    assert 53 <= scores <= 60


RNG = np.random.default_rng


def _both(drawn: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    y, before, after = drawn
    return [(y, before), (y, after)]


def test_equal_predictions_do_not_exclude_a_loss_on_other_rows() -> None:
    y, same, _ = draw(RNG(0), 100)
    judge = Judge(HERE + "MedianError", "regression", y, lambda raw: raw)

    drop = judge.drop(same, same)

    assert drop.mean == 0
    assert drop.low < 0 < drop.high
    assert drop == judge.drop(same, same)
    assert judge.drop(same, same, times=100).high < drop.high / 10
    assert judge.allowed(0.02, 10.0) == pytest.approx(0.2)


def test_one_row_says_nothing_about_spread() -> None:
    judge = Judge(HERE + "MedianError", "regression", np.ones(1), lambda raw: raw)
    assert judge.drop(np.ones(1), np.zeros(1)).high == np.inf
