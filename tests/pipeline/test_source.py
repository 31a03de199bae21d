"""What a run may be asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.errors import DataError, RecipeError, WorkspaceError
from winnow.pipeline import Run, open_source
from winnow.pipeline._directory import file_name
from winnow.pipeline._source import check_same
from winnow.recipe import Recipe, Search, Train, change

from .conftest import Told, small


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(here: Path) -> Path:
    rows = [f"{i % 7},{'north' if i % 3 else 'south'},{i * 0.5}" for i in range(80)]
    path = here / "prices.csv"
    path.write_text("\n".join(["size,where,price", *rows]))
    return path


def test_a_written_recipe_says_why_it_has_another_metric_and_what_a_rare_row_can_do(
    here: Path,
) -> None:
    y = ["no"] * 400 + ["yes"] * 50
    pl.DataFrame({"a": np.random.default_rng(0).normal(size=450), "y": y}).write_csv("rare.csv")
    asked = open_source("rare.csv", target="y")
    assert (
        asked.recipe.metric,
        asked.recipe.ablate.smallest_effect,
        asked.recipe.compress.budget,
    ) == ("roc_auc", 0.05, 0.05)
    written = (asked.out / "recipe.yaml").read_text()
    assert written.startswith(
        "# always answering 'no' would be right for 88.9 % of the training rows: the score is "
        "ROC AUC"
    )
    assert (
        "\n# one validation row of the rarest class ('yes', 10 rows) can move ROC AUC by 0.1: "
        in written
    )
    assert [f"# {note}" for note in asked.notes[:2]] == written.splitlines()[:2]
    assert open_source("rare.csv", target="y").recipe == asked.recipe


def test_what_matters_is_in_the_units_of_the_metric_that_is_asked_for(here: Path) -> None:
    y = ["no"] * 400 + ["yes"] * 50
    pl.DataFrame({"a": np.random.default_rng(0).normal(size=450), "y": y}).write_csv("rare.csv")
    asked = open_source(
        "rare.csv", target="y", keep=False, change=lambda r: change(r, {"metric": "accuracy"})
    )
    assert (asked.recipe.metric, asked.recipe.ablate.smallest_effect, asked.notes) == (
        "accuracy",
        0.005,
        (),
    )


def test_a_recipe_goes_to_a_directory_of_its_name(recipe: Recipe) -> None:
    asked = open_source(recipe)

    assert asked.recipe is recipe
    assert asked.out == Path("runs/small")


def test_a_yaml_file_is_read(here: Path, recipe: Recipe) -> None:
    recipe.save(here / "my.yml")

    asked = open_source("my.yml", out="elsewhere")

    assert asked.recipe == recipe
    assert asked.out == Path("elsewhere")
    assert asked.file == Path("my.yml")


def test_a_run_directory_stands_for_its_recipe(here: Path, recipe: Recipe) -> None:
    (here / "runs" / "x").mkdir(parents=True)
    recipe.save(here / "runs" / "x" / "recipe.yaml")

    asked = open_source("runs/x")

    assert asked.recipe == recipe
    assert asked.out == Path("runs/x")


def test_data_get_a_recipe_that_is_written_down(table: Path) -> None:
    asked = open_source("prices.csv", target="price")

    written = Path("runs/prices/recipe.yaml")
    assert Recipe.load(written) == asked.recipe
    assert asked.recipe.is_open
    assert asked.notes == (
        f"a recipe with ranges was written to {written}: change it there and run again to ask "
        f"for something else",
    )


def test_a_written_recipe_that_was_changed_counts(table: Path) -> None:
    first = open_source("prices.csv", target="price").recipe
    changed = Recipe.from_yaml(first.to_yaml().replace("trials: 32", "trials: 3"))
    changed.save("runs/prices/recipe.yaml")

    asked = open_source("prices.csv", target="price")

    assert asked.recipe.search.trials == 3
    assert asked.notes == ("going on with the recipe in runs/prices/recipe.yaml",)


def test_a_mistyped_target_is_told_before_what_the_directory_is_for(table: Path) -> None:
    open_source("prices.csv", target="price")

    with pytest.raises(DataError, match="no column 'prise' - did you mean 'price'"):
        open_source("prices.csv", target="prise")


def test_a_written_recipe_for_another_target_is_refused(table: Path) -> None:
    open_source("prices.csv", target="price")

    with pytest.raises(
        WorkspaceError,
        match=r"is for prices\.csv with target 'price', not for prices\.csv with target 'size'",
    ):
        open_source("prices.csv", target="size")


def test_a_file_may_be_named_from_here_or_from_the_root(table: Path) -> None:
    first = open_source("prices.csv", target="price").recipe

    again = open_source(str(table), target="price")

    assert again.recipe == first
    check_same(change(first, {"data.source": str(table)}), first.to_yaml(), Path("out"))
    with pytest.raises(
        WorkspaceError, match=r"data\.source: 'prices\.csv' there, 'other\.csv' now"
    ):
        check_same(change(first, {"data.source": "other.csv"}), first.to_yaml(), Path("out"))


def test_another_file_of_the_same_name_is_another_source(table: Path) -> None:
    open_source("prices.csv", target="price")
    (table.parent / "other").mkdir()
    other = table.parent / "other" / "prices.csv"
    other.write_text(table.read_text())

    with pytest.raises(
        WorkspaceError,
        match=r"recipe.yaml is for prices\.csv with target 'price', not for other/prices\.csv",
    ):
        open_source("other/prices.csv", target="price")


def test_changes_are_written_with_the_recipe_of_data(table: Path) -> None:
    asked = open_source(
        "prices.csv",
        target="price",
        change=lambda r: change(r, {"search.trials": 3, "train.epochs": 2}),
    )

    assert (asked.recipe.search.trials, asked.recipe.train.epochs) == (3, 2)
    assert Recipe.load("runs/prices/recipe.yaml") == asked.recipe


def test_changes_of_a_file_leave_it_as_it_is(here: Path, recipe: Recipe) -> None:
    recipe.save(here / "my.yml")

    asked = open_source("my.yml", change=lambda r: change(r, {"train.epochs": 7, "name": "mine"}))

    assert asked.recipe == change(recipe, {"train.epochs": 7, "name": "mine"})
    assert asked.out == Path("runs/mine")
    assert asked.file is None  # its lines say nothing of what was changed
    assert Recipe.load(here / "my.yml") == recipe
    assert open_source("my.yml", change=lambda r: change(r, {"search.trials": 3})).file == Path(
        "my.yml"
    )


def test_looking_writes_nothing(table: Path) -> None:
    open_source("prices.csv", target="price", keep=False)

    assert not Path("runs").exists()


def test_bundled_sets_need_no_target(here: Path) -> None:
    asked = open_source("sklearn:wine")

    assert asked.recipe.name == "wine"
    assert asked.out == Path("runs/wine")


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        (
            "prices.csv",
            None,
            DataError,
            r"target: expected .* \(--target.* columns of prices.csv: .*price",
        ),
        ("prices.csv", "prise", DataError, "did you mean 'price'"),
        ("pricse.csv", "price", DataError, "did you mean 'prices.csv'"),
        ("sklearn:irsi", None, RecipeError, "did you mean 'sklearn:iris'"),
        ("absent.yaml", None, RecipeError, "no such file 'absent.yaml'"),
        (".", None, RecipeError, "is a directory without recipe.yaml"),
    ],
)
def test_what_cannot_be_run_is_refused(
    table: Path, source: str, target: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_source(source, target=target)

    assert not Path("runs").exists()


def test_a_target_beside_a_recipe_is_refused(recipe: Recipe) -> None:
    with pytest.raises(
        RecipeError,
        match=r"a target is for data without a recipe; this recipe says data.target = None",
    ):
        open_source(recipe, target="y")


@pytest.mark.parametrize(
    ("name", "expected"), [("a b/c", "a_b_c"), ("../up", "_up"), (".", "recipe"), ("v1.2", "v1.2")]
)
def test_file_names_stay_in_their_directory(name: str, expected: str) -> None:
    assert file_name(name) == expected


def test_other_questions_are_not_another_recipe(recipe: Recipe) -> None:
    check_same(small(search=Search(trials=99)), recipe.to_yaml(), Path("out"))
    check_same(recipe, None, Path("out"))


def test_every_setting_that_differs_is_named(recipe: Recipe) -> None:
    with pytest.raises(WorkspaceError) as caught:
        check_same(small(seed=5, train=Train(epochs=9)), recipe.to_yaml(), Path("out"))

    for line in (
        "train.epochs: 3 there, 9 now",
        "seed: 0 there, 5 now",
        "train.dropout.uniform: [0.0, 0.5] there, nothing now",
    ):
        assert line in str(caught.value)


def test_a_bundle_is_no_run_directory(finished: tuple[Run, Told]) -> None:
    with pytest.raises(
        RecipeError,
        match=r"small.winnow is a bundle, not a run directory: .*recipe.yaml and --out DIR",
    ):
        open_source(finished[0].bundle)


def test_a_directory_that_cannot_be_made_is_told(table: Path) -> None:
    with pytest.raises(
        WorkspaceError, match=r"cannot work in prices.csv/x: Not a directory - choose another"
    ):
        open_source("prices.csv", target="price", out="prices.csv/x")
