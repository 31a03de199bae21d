"""Rare classes: merged or left out, counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from winnow.data import default_recipe, load_table, prepare
from winnow.errors import DataError, RecipeError
from winnow.recipe import Data, Model, Train, Variant, change

COUNTS = {"a": 40, "b": 30, "c": 3, "d": 2, "e": 1}
Y = np.array([label for label, count in COUNTS.items() for _ in range(count)], dtype=object)
X = np.arange(2.0 * len(Y)).reshape(-1, 2)


def data(y: np.ndarray = Y, **settings: Any) -> Data:
    return Data.frame(
        pl.DataFrame({"u": X[: len(y), 0], "v": X[: len(y), 1], "y": y.tolist()}), "y", **settings
    )


def test_merge_makes_one_class_of_them() -> None:
    prepared = prepare(data(rare_classes="merge"))

    assert prepared.classes == ("a", "b", "other")
    rows = {name: getattr(prepared, name) for name in ("train", "validation", "test")}
    assert sum(len(part) for part in rows.values()) == len(Y)
    for part in rows.values():
        expected = ["other" if label in "cde" else label for label in Y[part.index]]
        assert [prepared.classes[i] for i in part.y] == expected
        assert "other" in expected
    which = "3 classes of fewer than 5 rows: 'c' (3), 'd' (2), 'e' (1)"
    said = f"6 rows are of class 'other' now (data.rare_classes: merge), those of {which}"
    assert said in prepared.notes


@pytest.mark.parametrize("arrays", [True, False])
def test_drop_leaves_their_rows_out_and_keeps_numbers_of_rows(arrays: bool) -> None:
    table = load_table(
        Data.arrays(X, Y, rare_classes="drop") if arrays else data(rare_classes="drop")
    )

    assert set(table.y) == {"a", "b"}
    assert table.rows.tolist() == list(range(70))
    assert np.asarray(table.X).tolist() == X[:70].tolist()
    assert "6 rows were left out (data.rare_classes: drop), those of 3 classes" in table.notes[-1]


def test_rows_in_an_order_stay_with_their_values() -> None:
    shuffled = Y[np.random.default_rng(0).permutation(len(Y))]
    table = load_table(data(shuffled, rare_classes="drop", split={"order_by": "u"}))

    assert table.order is not None
    assert table.order.tolist() == X[np.isin(shuffled, ["a", "b"]), 0].tolist()


def test_the_merged_class_has_a_name_of_its_own_and_numbers_become_text() -> None:
    table = load_table(data(np.where(Y == "a", "other", Y), rare_classes="merge"))
    assert set(table.y) == {"other", "b", "other_"}

    numbers = np.array([{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}[label] for label in Y])
    assert set(load_table(data(numbers, rare_classes="merge")).y) == {"1", "2", "other"}


def test_how_few_is_a_setting() -> None:
    assert set(load_table(data(rare_classes="drop", rare_below=3)).y) == {"a", "b", "c"}
    with pytest.raises(RecipeError, match="rare_below is for rare_classes: merge or drop"):
        data(rare_below=3)


@pytest.mark.parametrize("setting", ["merge", "drop"])
def test_without_rare_classes_nothing_changes(setting: str) -> None:
    few, plain = data(Y[:70], rare_classes=setting), data(Y[:70])
    assert load_table(few).y.tolist() == load_table(plain).y.tolist()
    assert load_table(few).notes == load_table(plain).notes


def test_an_error_offers_the_setting_by_its_words() -> None:
    with pytest.raises(
        DataError,
        match=r"'d' \(2\), 'e' \(1\): write `data.rare_classes: merge` .* or `data.rare_classes: "
        r"drop`",
    ):
        prepare(data())


@pytest.mark.parametrize(
    ("y", "setting", "message"),
    [
        (
            Y[:72],
            "merge",
            "expected at least 5 rows to merge, got 2: write `data.rare_classes: drop`",
        ),
        (
            np.where(Y == "b", "a", Y),
            "drop",
            "expected two classes or more of 'y' to be left by drop",
        ),
        (
            np.array([f"t{i}" for i in range(40)], dtype=object),
            "merge",
            "expected a class of 'y' to be left by merge",
        ),
        (X[:, 0] + 0.5, "drop", "is for classes, and 'y' is a quantity"),
    ],
)
def test_what_cannot_be_learned_is_refused(y: np.ndarray, setting: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_table(data(y, rare_classes=setting))


def test_a_recipe_can_be_written_before_the_setting_is_given(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame({"u": X[:, 0], "y": Y.tolist()}).write_csv(path)

    recipe = default_recipe(str(path), "y")

    assert recipe.data.rare_classes == "error"
    assert prepare(change(recipe, {"data.rare_classes": "merge"}).data).classes == (
        "a",
        "b",
        "other",
    )


def test_ids_of_older_recipes_hold_and_the_setting_counts() -> None:
    def made(**settings: Any) -> Variant:
        return Variant(
            data=data(**settings),
            model=Model("mlp", width=4, depth=1),
            train=Train(epochs=1, batch_size=4),
            metric="accuracy",
            seed=0,
        )

    assert "rare" not in made().canonical()
    assert (
        len({made().id, made(rare_classes="merge").id, made(rare_classes="merge", rare_below=3).id})
        == 3
    )
