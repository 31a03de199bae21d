"""Variants: their identity; outcomes; which score is better."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from winnow.errors import RecipeError
from winnow.methods import SGD, AdamW, Cosine
from winnow.recipe import (
    Choice,
    Data,
    Log,
    Model,
    Outcome,
    Recipe,
    Train,
    Uniform,
    Variant,
    better,
    resolve_metric,
)

RECIPE = Recipe(
    data=Data(source="sklearn:digits"),
    model=Model("mlp", width=64),
    train=Train(dropout=0.5, optimizer=SGD(lr=1.0)),
)


def variant(**changes: object) -> Variant:
    return Variant(
        **{
            "data": RECIPE.data,
            "model": RECIPE.model,
            "train": RECIPE.train,
            "metric": "accuracy",
            "seed": 3,
            **changes,
        }
    )


def test_a_recipe_gives_a_variant_for_a_seed() -> None:
    found = RECIPE.variant(3, metric="accuracy", context="abc", fold=2)

    assert found == variant(context="abc", fold=2)
    assert found.id == variant(context="abc", fold=2).id
    assert len(found.id) == 20


def test_an_open_recipe_gives_no_variant() -> None:
    recipe = Recipe(
        data=RECIPE.data,
        model=Model("mlp", width=Choice(1, 2)),
        train=Train(optimizer=Choice(SGD(lr=Log(0.1, 1)), AdamW())),
    )

    with pytest.raises(RecipeError) as caught:
        recipe.variant(0, metric="accuracy", context="")

    assert [p.setting for p in caught.value.problems] == [
        "model.args.width",
        "train.optimizer",
        "train.optimizer.sgd.lr",
    ]
    assert "still open, and a variant has nothing open" in str(caught.value)


@pytest.mark.parametrize(
    "same",
    [
        {"train": Train(dropout=0.5, optimizer=SGD(lr=1))},
        {"train": {"dropout": 0.5, "optimizer": {"kind": "sgd", "lr": 1}}},
        {"train": Train(dropout=0.5, optimizer=SGD(lr=1.0, momentum=0.9), epochs=30)},
        {"model": Model("mlp", width=64, depth=2)},
        {"model": Model("mlp", args={"residual": False, "width": 64})},
        {"fold": None, "context": ""},
    ],
    ids=str,
)
def test_one_training_has_one_identity_however_it_is_written(same: dict[str, object]) -> None:
    assert variant(**same).id == variant().id


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 4},
        {"fold": 0},
        {"context": "x"},
        {"metric": "log_loss"},
        {"model": Model("mlp", width=65)},
        {"model": Model("mlp", width=64, without=["fc1"])},
        {"model": Model("convnet", width=64)},
        {"train": Train(dropout=0.5, optimizer=SGD(lr=1.0), schedule=Cosine())},
        {"train": Train(optimizer=SGD(lr=1.0))},
        {"data": Data(source="sklearn:wine")},
    ],
    ids=str,
)
def test_another_training_has_another_identity(other: dict[str, object]) -> None:
    assert variant(**other).id != variant().id


def test_the_order_of_arguments_does_not_matter_but_their_type_does() -> None:
    def of(**args: object) -> str:
        return variant(model=Model("my.nets:Net", args=args)).id

    assert of(a=1, b=[1, 2]) == of(b=(1, 2), a=1)
    assert of(a=1) != of(a=True) != of(a=1.0)
    assert of(a="1") != of(a=1)


def test_a_file_is_the_same_wherever_it_is_named_from() -> None:
    def of(source: str, context: str = "rows") -> str:
        return variant(data=Data(source=source, target="y"), context=context).id

    assert of("t.csv") == of("./t.csv") == of("/home/me/data/t.csv") == of("C:\\data\\t.csv")
    assert of("t.csv") != of("u.csv")
    assert of("t.csv") != of("t.csv", context="other rows")


def test_a_variant_survives_json() -> None:
    found = variant(
        model=Model("my.nets:Net", a=(1, 2), b={"c": None, "d": 0.1}),
        train=Train(l1=1e-7, dropout=1 / 3),
    )

    again = Variant(**json.loads(json.dumps(found.model_dump(mode="json"))))

    assert again == found
    assert again.id == found.id


def test_an_identity_is_the_same_in_every_process_and_release() -> None:
    code = """
from winnow.recipe import *
from winnow.methods import SGD
train = Train(dropout=0.5, optimizer=SGD(lr=1.0))
r = Recipe(data=Data(source="sklearn:digits"), model=Model("mlp", width=64), train=train)
print(r.variant(3, metric="accuracy", context="").id)
"""
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)},
    )

    assert other.stdout.strip() == variant().id


@pytest.mark.parametrize(
    "bad",
    [
        {"seed": -1},
        {"seed": True},
        {"fold": -1},
        {"metric": "auto"},
        {"train": Train(l1=Uniform(0, 1))},
    ],
)
def test_a_variant_that_cannot_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        variant(**bad)


def test_auto_means_the_first_metric_of_the_task() -> None:
    assert resolve_metric("auto", "classification") == "accuracy"
    assert resolve_metric("auto", "regression") == "rmse"
    assert resolve_metric("log_loss", "classification") == "log_loss"


def test_which_score_is_better() -> None:
    assert better("accuracy", 0.9, 0.8)
    assert not better("accuracy", 0.8, 0.8)
    assert better("rmse", 0.8, 0.9)
    assert better("rmse", 0.8, math.nan)
    assert not better("accuracy", math.nan, 0.8)
    assert not better("accuracy", math.nan, math.nan)


def test_an_outcome_knows_how_it_ended() -> None:
    assert Outcome("id", "finished", score=0.5).finished
    failed = Outcome("id", "failed", "the loss became NaN in epoch 3")
    assert not failed.finished
    assert Outcome(**failed.to_dict()).reason == failed.reason
    assert math.isnan(failed.score)
