"""A recipe for data that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.data import default_recipe, default_recipe_notes, prepare
from winnow.errors import DataError, RecipeError
from winnow.recipe import Recipe


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "digits", "iris", "wine"])
def test_recipes_for_the_sets_of_scikit_learn(name: str) -> None:
    recipe = default_recipe(f"sklearn:{name}")

    assert recipe.name == name
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    rows = len(prepare(recipe.data).train)
    steps = recipe.train.epochs * (rows // recipe.train.batch_size)  # type: ignore[operator]
    assert 500 <= steps <= 1500
    assert {
        "model.args.depth",
        "train.optimizer.lr",
        "train.optimizer.weight_decay",
        "train.dropout",
    } <= set(recipe.ranges())
    assert ("train.label_smoothing" in recipe.ranges()) == (name != "diabetes")


def test_what_does_not_matter_is_in_the_units_of_the_target() -> None:
    recipe = default_recipe("sklearn:diabetes")

    deviation = prepare(recipe.data).preparation.target_scale
    assert recipe.ablate.smallest_effect == pytest.approx(0.005 * deviation, rel=0.05)
    assert recipe.compress.budget == 0.01  # a share of the score, whatever its units


def test_a_recipe_for_a_file(csv: Path) -> None:
    recipe = default_recipe(str(csv), "label")

    assert recipe.name == "people"
    assert recipe.data.target == "label"
    assert recipe.train.batch_size == 16


@pytest.mark.parametrize(
    ("names", "dropped"),
    [
        ({"PassengerId": 1, "a": 5}, ("PassengerId",)),
        ({"row_nr": 0, "a": 5}, ("row_nr",)),
        ({"day": 1, "a": 5}, ()),  # counts, but it may well be a time
        ({"id": 1}, ()),  # nothing else is left
        ({"grid": 1, "a": 5}, ()),
    ],
)
def test_numbers_of_rows_are_left_out_in_writing(
    tmp_path: Path, names: dict[str, int], dropped: tuple[str, ...]
) -> None:
    path = tmp_path / "t.csv"
    values = {
        name: [first + i if first < 5 else i * i % 7 for i in range(40)]
        for name, first in names.items()
    }
    pl.DataFrame({**values, "y": [None if i == 3 else "uv"[i % 2] for i in range(40)]}).write_csv(
        path
    )

    assert default_recipe(str(path), "y").data.drop == dropped


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"), [(10, 4, 120), (20_000, 256, 22), (300_000, 256, 3)]
)
def test_few_and_many_rows(tmp_path: Path, rows: int, batch: int, epochs: int) -> None:
    path = tmp_path / "my data (1).parquet"
    pl.DataFrame(
        {"a": np.random.default_rng(0).normal(size=rows), "y": np.linspace(0, 1, rows)}
    ).write_parquet(path)

    recipe = default_recipe(str(path), "y")

    assert (recipe.name, recipe.train.batch_size, recipe.train.epochs) == (
        "my_data_1",
        batch,
        epochs,
    )


def test_what_cannot_be_used_is_refused(csv: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'label'"):
        default_recipe(str(csv), "labl")
    with pytest.raises(DataError, match=r"target: expected .* columns of .*people.csv: age, rooms"):
        default_recipe(str(csv))
    with pytest.raises(RecipeError, match="did you mean 'sklearn:iris'"):
        default_recipe("sklearn:iri")


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        ({"no": 196, "yes": 4}, "roc_auc"),
        ({"no": 161, "yes": 39}, "roc_auc"),
        ({"no": 155, "yes": 45}, "auto"),
        ({"a": 170, "b": 20, "c": 10}, "balanced_accuracy"),
        ({"a": 100, "b": 60, "c": 40}, "auto"),
    ],
)
def test_skewed_classes_get_a_metric_that_a_constant_does_not_win(
    tmp_path: Path, counts: dict[str, int], metric: str
) -> None:
    path = tmp_path / "skewed.csv"
    rng = np.random.default_rng(0)
    y = [label for label, n in counts.items() for _ in range(n)]
    pl.DataFrame({"a": rng.normal(size=200), "b": rng.normal(size=200), "y": y}).write_csv(path)

    recipe = default_recipe(str(path), "y")

    assert recipe.metric == metric
    assert Recipe.from_yaml(recipe.to_yaml()).metric == metric
    notes = default_recipe_notes(recipe)
    if metric == "auto":
        assert notes == ()
    else:
        first = next(iter(counts))
        assert notes[0].startswith(f"always answering {first!r} would be right for ")
        assert f"(metric: {metric}) and not accuracy" in notes[0]


@pytest.mark.parametrize(
    ("counts", "metric", "worth", "raised"),
    [
        # A fifth validates: 40 rows of "yes", twenty in each half
        ({"no": 1000, "yes": 200}, "roc_auc", 1 / 40, 0.025),
        ({"no": 1000, "yes": 180}, "roc_auc", 1 / 36, 0.028),
        ({"no": 900, "yes": 20}, "roc_auc", 1 / 4, 0.05),
        ({"no": 190_000, "yes": 10_000}, "roc_auc", 1 / 2000, None),
        ({"a": 1000, "b": 100, "c": 50}, "balanced_accuracy", 1 / 30, 0.034),
        ({"no": 1000, "yes": 900}, "accuracy", None, None),
        ({"no": 300, "yes": 300}, "balanced_accuracy", 1 / 120, 0.0084),
    ],
)
def test_what_matters_is_at_least_what_a_row_of_the_rarest_class_can_do(
    tmp_path: Path, counts: dict[str, int], metric: str, worth: float | None, raised: float | None
) -> None:
    path = tmp_path / "skewed.csv"
    y = [label for label, n in counts.items() for _ in range(n)]
    pl.DataFrame({"a": np.random.default_rng(0).normal(size=len(y)), "y": y}).write_csv(path)

    recipe = default_recipe(str(path), "y", metric=metric)  # type: ignore[arg-type]

    assert recipe.ablate.smallest_effect == (0.005 if raised is None else raised)
    assert recipe.compress.budget == (0.01 if raised is None else max(raised, 0.01))
    said = [
        note
        for note in default_recipe_notes(recipe)
        if "one validation row of the rarest class" in note
    ]
    if raised is None:
        assert said == []
    else:
        rarest = min(counts, key=lambda label: counts[label])
        assert f"({rarest!r}, {counts[rarest] // 5} rows) can move" in said[0]
        assert f"by {worth:.2g}: " in said[0]
        assert ("so a part is only shown" in said[0]) == (worth > 0.05)  # type: ignore[operator]
        assert (
            f"(ablate.smallest_effect: {raised:g}, compress.budget: {max(raised, 0.01):g})"
            in said[0]
        )
