"""The open settings of a recipe: found, and closed."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recipe.strategies import recipes

from winnow.errors import RecipeError
from winnow.methods import SGD, AdamW, Constant, Cosine
from winnow.recipe import (
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Log,
    Model,
    OpenSetting,
    Recipe,
    Train,
    Uniform,
)

RECIPE = Recipe(
    data=Data(source="sklearn:digits"),
    model=Model(
        "my.nets:Net",
        width=Choice(64, 128),
        block={"rate": Uniform(0, 1)},
        sizes=Choice([[8, 8], [16]]),
        kind="a",
    ),
    train=Train(
        batch_size=Integer(16, 64),
        optimizer=Choice(
            SGD(lr=Log(1e-3, 0.5), momentum=Uniform(0.1, 0.9)), AdamW(lr=Log(1e-4, 1e-1))
        ),
        schedule=Choice(Constant(), Cosine()),
        early_stopping=EarlyStopping(patience=Integer(3, 9)),
    ),
)

VALUES: dict[str, Any] = {
    "model.args.width": 128,
    "model.args.block.rate": 0.25,
    "model.args.sizes": [16],
    "train.batch_size": 32,
    "train.optimizer": "sgd",
    "train.optimizer.sgd.lr": 0.1,
    "train.optimizer.sgd.momentum": 0.5,
    "train.schedule": "cosine",
    "train.early_stopping.patience": 4,
}


def test_open_settings_are_found_in_the_order_of_the_recipe() -> None:
    found = RECIPE.ranges()

    assert list(found) == [
        "model.args.width",
        "model.args.block.rate",
        "model.args.sizes",
        "train.batch_size",
        "train.optimizer",
        "train.optimizer.sgd.lr",
        "train.optimizer.sgd.momentum",
        "train.optimizer.adamw.lr",
        "train.schedule",
        "train.early_stopping.patience",
    ]
    assert found["train.batch_size"] == OpenSetting("train.batch_size", Integer(16, 64))
    assert found["train.optimizer.adamw.lr"] == OpenSetting(
        "train.optimizer.adamw.lr", Log(1e-4, 0.1), ("train.optimizer", "adamw")
    )


def test_a_choice_tells_what_it_may_become() -> None:
    found = RECIPE.ranges()

    assert found["train.optimizer"].labels == ("sgd", "adamw")
    assert found["model.args.width"].labels == (64, 128)
    assert found["train.batch_size"].labels is None


def test_values_close_a_recipe() -> None:
    closed = RECIPE.resolve(VALUES)

    assert not closed.is_open
    assert closed == Recipe(
        data=RECIPE.data,
        model=Model("my.nets:Net", width=128, block={"rate": 0.25}, sizes=[16], kind="a"),
        train=Train(
            batch_size=32,
            optimizer=SGD(lr=0.1, momentum=0.5),
            schedule=Cosine(),
            early_stopping=EarlyStopping(patience=4),
        ),
    )


def test_closing_nothing_changes_nothing() -> None:
    closed = RECIPE.resolve(VALUES)

    assert closed.resolve({}) == closed


def test_a_recipe_can_be_closed_in_part() -> None:
    half = RECIPE.resolve({"model.args.width": 64, "train.optimizer.adamw.lr": 0.01}, partial=True)

    assert half.model.args["width"] == 64
    assert half.train.optimizer == Choice(
        SGD(lr=Log(1e-3, 0.5), momentum=Uniform(0.1, 0.9)), AdamW(lr=0.01)
    )
    chosen = RECIPE.resolve({"train.optimizer": "sgd"}, partial=True)
    assert chosen.train.optimizer == SGD(lr=Log(1e-3, 0.5), momentum=Uniform(0.1, 0.9))
    assert "train.optimizer.lr" in chosen.ranges()


def test_two_options_of_one_kind_are_told_apart() -> None:
    recipe = Recipe(
        data=RECIPE.data,
        model=Model("mlp"),
        train=Train(optimizer=Choice(SGD(lr=Log(0.1, 1)), SGD(lr=Log(1e-3, 0.01), momentum=0))),
    )

    assert list(recipe.ranges()) == [
        "train.optimizer",
        "train.optimizer.sgd.lr",
        "train.optimizer.sgd_2.lr",
    ]
    closed = recipe.resolve({"train.optimizer": "sgd_2", "train.optimizer.sgd_2.lr": 0.005})
    assert closed.train.optimizer == SGD(lr=0.005, momentum=0)


def test_values_take_the_type_of_the_recipe() -> None:
    values = {
        **VALUES,
        "model.args.width": np.int64(128),
        "train.optimizer.sgd.lr": np.float32(0.25),
        "train.batch_size": np.int32(32),
    }

    closed = RECIPE.resolve(values)

    assert type(closed.model.args["width"]) is int
    assert type(closed.train.optimizer.lr) is float
    assert type(closed.train.batch_size) is int


def test_truth_is_not_one() -> None:
    recipe = Recipe(data=RECIPE.data, model=Model("my.nets:Net", x=Choice(True, 1, 2.0)))

    assert recipe.resolve({"model.args.x": True}).model.args["x"] is True
    assert type(recipe.resolve({"model.args.x": 1}).model.args["x"]) is int
    assert type(recipe.resolve({"model.args.x": 2}).model.args["x"]) is float


def test_a_rounding_error_beyond_the_end_is_the_end() -> None:
    end = math.nextafter(0.5, 1)

    assert RECIPE.resolve({**VALUES, "train.optimizer.sgd.lr": end}).train.optimizer.lr == 0.5


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"train.batch_sise": 32},
        r"^train.batch_sise: no such open setting - did you mean 'train.batch_size'\?$",
    ),
    ({"train.epochs": 3}, r"^train.epochs: not open: it is fixed at 30$"),
    ({"model.args.kind": "b"}, r"^model.args.kind: not open: it is fixed at 'a'$"),
    ({"model.args.width": 96}, r"^model.args.width: expected one of 64, 128, got 96$"),
    ({"model.args.width": "64"}, r"^model.args.width: expected one of 64, 128, got '64' \(text\)$"),
    (
        {"train.batch_size": 65},
        r"^train.batch_size: expected a whole number from 16 to 64, got 65$",
    ),
    (
        {"train.batch_size": 32.0},
        r"^train.batch_size: expected a whole number from 16 to 64, got 32.0$",
    ),
    (
        {"train.batch_size": True},
        r"^train.batch_size: expected a whole number from 16 to 64, got true$",
    ),
    (
        {"model.args.block.rate": math.nan},
        r"^model.args.block.rate: expected a number from 0.0 to 1.0, got nan$",
    ),
    (
        {"model.args.block.rate": 1.1},
        r"^model.args.block.rate: expected a number from 0.0 to 1.0, got 1.1$",
    ),
    ({"model.args.block.rate": "0.1"}, r"got '0.1' \(text\)$"),
    (
        {"train.optimizer": "sdg"},
        r"^train.optimizer: expected one of 'sgd', 'adamw', got 'sdg' - did you mean 'sgd'\?$",
    ),
    (
        {"train.optimizer": SGD()},
        r"^train.optimizer: expected one of 'sgd', 'adamw', got a value of type SGD$",
    ),
    (
        {"train.optimizer.adamw.lr": 0.01},
        r"^train.optimizer.adamw.lr: applies only when train.optimizer is 'adamw', and it is "
        r"'sgd'$",
    ),
    ({"train.schedule": 1, "train.batch_size": 0}, r"^2 problems in the recipe:"),
]


@pytest.mark.parametrize(
    ("change", "message"),
    WRONG,
    ids=[next(iter(w[0])) + str(next(iter(w[0].values()))) for w in WRONG],
)
@pytest.mark.parametrize("partial", [False, True])
def test_a_value_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, partial: bool
) -> None:
    with pytest.raises(RecipeError, match=message):
        RECIPE.resolve({**VALUES, **change}, partial=partial)


def test_what_stays_open_is_told() -> None:
    values = {
        path: value
        for path, value in VALUES.items()
        if path not in ("train.batch_size", "train.optimizer.sgd.lr")
    }

    with pytest.raises(RecipeError) as caught:
        RECIPE.resolve(values)

    assert [str(p) for p in caught.value.problems] == [
        "train.batch_size: still open, give it a value: a whole number from 16 to 64",
        "train.optimizer.sgd.lr: still open, give it a value: a number from 0.001 to 0.5",
    ]


def test_a_choice_that_is_not_made_is_told_once() -> None:
    values = {
        path: value for path, value in VALUES.items() if not path.startswith("train.optimizer")
    }

    with pytest.raises(
        RecipeError, match=r"^train.optimizer: still open, give it a value: one of 'sgd', 'adamw'$"
    ):
        RECIPE.resolve(values)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(recipe=recipes, seed=st.integers(0, 99))
def test_any_recipe_closes_with_values_from_its_ranges(recipe: Recipe, seed: int) -> None:
    draw = random.Random(seed)
    values: dict[str, Any] = {}
    for path, setting in recipe.ranges().items():
        if (
            setting.condition is not None
            and values.get(setting.condition[0]) != setting.condition[1]
        ):
            continue
        found = setting.range
        values[path] = (
            draw.choice(found.labels)
            if isinstance(found, Choice)
            else draw.choice([found.low, found.high])
        )

    closed = recipe.resolve(values)

    assert not closed.is_open
    assert recipe.resolve(values, partial=True) == closed
    assert Recipe.from_yaml(closed.to_yaml()) == closed
