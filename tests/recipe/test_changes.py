"""Settings given beside a recipe."""

from __future__ import annotations

import pytest

from winnow.errors import RecipeError
from winnow.methods import SGD, AdamW
from winnow.recipe import (
    QUICK,
    Choice,
    Data,
    EarlyStopping,
    Final,
    Log,
    Model,
    Recipe,
    Search,
    Train,
    Uniform,
    change,
    parse,
    quick,
)

RECIPE = Recipe(
    data=Data(source="sklearn:digits"),
    model=Model("mlp", width=Choice(8, 16), depth=1),
    train=Train(
        epochs=5, optimizer=Choice(SGD(lr=Log(0.01, 1.0)), AdamW()), dropout=Uniform(0.0, 0.5)
    ),
)


def test_values_are_yaml() -> None:
    assert parse(
        [
            "train.epochs=3",
            "a=1e-4",
            "b={uniform: [0, 0.5]}",
            "c=",
            "d= text ",
            "e=x=y",
            "train.epochs=4",
        ]
    ) == {
        "train.epochs": 4,
        "a": 1e-4,
        "b": {"uniform": [0, 0.5]},
        "c": None,
        "d": "text",
        "e": "x=y",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epochs", "expected SETTING=VALUE, as in train.epochs=3, got 'train.epochs'"),
        ("=3", "expected SETTING=VALUE"),
        (
            "train.dropout={uniform: [0",
            r"train.dropout: not YAML: .*, in the value '\{uniform: \[0'",
        ),
        ("name=!!python/object:os.system x", "name: unknown YAML tag"),
    ],
)
def test_what_is_no_assignment_is_told(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        parse([text])


def test_a_change_gives_the_recipe_that_would_have_been_written_so() -> None:
    changed = change(
        RECIPE,
        parse(
            [
                "train.epochs=3",
                "train.dropout=0.1",
                "model.args.width=32",
                "train.optimizer.sgd.lr=0.2",
                "train.early_stopping.patience=4",
                "search.trials=7",
            ]
        ),
    )

    assert changed == Recipe(
        data=Data(source="sklearn:digits"),
        model=Model("mlp", width=32, depth=1),
        train=Train(
            epochs=3,
            optimizer=Choice(SGD(lr=0.2), AdamW()),
            dropout=0.1,
            early_stopping=EarlyStopping(patience=4),
        ),
        search=Search(trials=7),
    )


def test_no_change_is_none() -> None:
    assert change(RECIPE, {}) is RECIPE
    assert change(RECIPE, {"train.epochs": 5}) == RECIPE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epohs": 3}, "train.epohs: unknown setting - did you mean 'epochs'?"),
        ({"trian.epochs": 3}, "trian: unknown setting - did you mean 'train'?"),
        ({"train.epochs": "3"}, "train.epochs: expected a whole number, got '3' (text)"),
        ({"train.epochs.x": 3}, "train.epochs: has no settings of its own: it is 5"),
        (
            {"train.optimizer.lr": 3},
            "train.optimizer: is a choice, which has no option 'lr' with settings",
        ),
        ({"train.optimizer.sdg.lr": 3}, "no option 'sdg' with settings - did you mean 'sgd'?"),
        (
            {"model.args.width.x": 3},
            "model.args.width: is a choice, which has no option 'x' with settings",
        ),
        ({"train.": 3}, "train: expected the name of a setting after the dot"),
        ({"metric": "acuracy"}, "did you mean 'accuracy'?"),
    ],
)
def test_mistakes_are_those_of_a_file(settings: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        change(RECIPE, settings)

    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        change(RECIPE, {"train.epohs": 3, "search.trials": 0})

    assert [p.setting for p in caught.value.problems] == ["train.epohs", "search.trials"]


def test_a_quick_version_never_asks_for_more() -> None:
    assert quick(RECIPE) == QUICK
    small = Recipe(
        data=RECIPE.data,
        model=RECIPE.model,
        search=Search(trials=2, leaders=1, seeds=2),
        final=Final(seeds=2),
    )
    assert quick(small) == {}
