"""Mistakes are found before anything trains, all at once, with their lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from winnow.data import Table, prepare
from winnow.data._fit import fit
from winnow.errors import RecipeError
from winnow.execution import Runner, Workspace, _model_costs
from winnow.pipeline import Flow, _plan, check, describe_plan, open_source
from winnow.pipeline._check import load_recipe
from winnow.pipeline._corners import corners
from winnow.recipe import (
    Ablate,
    Choice,
    Data,
    EarlyStopping,
    Integer,
    Model,
    Recipe,
    Search,
    Split,
    Train,
    Uniform,
    Variant,
)
from winnow.study import search
from winnow.training import StepTiming

from .conftest import small


class Wrong(nn.Module):
    """Has a wrong number of outputs when it is wide."""

    def __init__(self, in_features: int, out_features: int, width: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features + (width > 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)


def test_a_good_recipe_passes(recipe: Recipe) -> None:
    checked = check(recipe)

    assert checked.prepared.task == "classification"
    assert isinstance(checked.model, nn.Module)


def test_corners_try_every_model_argument() -> None:
    recipe = small(model=Model("mlp", width=Choice(4, 8), depth=Integer(1, 3)))

    tried = [(c.recipe.model.args["width"], c.recipe.model.args["depth"]) for c in corners(recipe)]

    assert tried == [(4, 1), (8, 1), (4, 3)]


def test_a_model_that_fits_only_for_some_arguments_is_refused() -> None:
    recipe = small(model=Model(Wrong, width=Choice(8, 16)), ablate=Ablate(parts=()))

    with pytest.raises(
        RecipeError,
        match=r"model: with model.args.width = 16: the model's output does not fit the 3 classes",
    ):
        check(recipe)


def test_a_model_that_never_fits_is_told_once() -> None:
    with pytest.raises(RecipeError) as caught:
        check(small(model=Model(Wrong, width=Choice(16, 32)), ablate=Ablate(parts=())))

    assert len(caught.value.problems) == 1


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data:\n"
        "  source: sklearn:diabetes\n"
        "model:\n"
        "  use: mlp\n"
        "  args: {width: 4, depth: 1}\n"
        "train:\n"
        "  label_smoothing: 0.1\n"
        "metric: accuracy\n"
        "ablate:\n"
        "  modules: [block2, haed]\n"
    )

    with pytest.raises(RecipeError) as caught:
        check(Recipe.load(path), file=path)

    told = [str(p) for p in caught.value.problems]
    assert [line for line in told if line.startswith(f"{path}:7: train.label_smoothing")]
    assert [line for line in told if line.startswith(f"{path}:8: metric")]
    assert [
        line
        for line in told
        if line.startswith(f"{path}:10: ablate.modules") and "did you mean 'head'" in line
    ]
    assert [
        line
        for line in told
        if line.startswith(f"{path}:10: ablate.modules") and "did you mean 'block1'" in line
    ]
    assert len(told) == 4


def test_a_mistake_in_a_list_of_methods_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data: {source: 'sklearn:wine'}\n"
        "model: {use: mlp}\n"
        "train:\n"
        "  epochs: 1\n"
        "  gradient_rules:\n"
        "    - {kind: centralize}\n"
        "    - {use: tests.pipeline.no_such:Rule}\n"
    )

    with pytest.raises(RecipeError) as caught:
        check(Recipe.load(path), file=path)

    (told,) = map(str, caught.value.problems)
    assert told.startswith(f"{path}:7: train.gradient_rules[1]")


def test_a_mistake_in_the_data_has_its_line(tmp_path: Path) -> None:
    path, table = tmp_path / "bad.yaml", tmp_path / "rows.csv"
    table.write_text("u,v\n1,2\n3,4\n")
    path.write_text(f"model: {{use: mlp}}\ndata:\n  source: {table}\n  target: w\n")

    with pytest.raises(RecipeError, match=rf"{path}:\d: data.target: .*no column 'w'"):
        check(Recipe.load(path), file=path)


def test_modules_named_among_the_parts_are_looked_up() -> None:
    with pytest.raises(
        RecipeError, match=r"ablate.parts: the model has no module 'blok1' - did you mean 'block1'"
    ):
        check(small(ablate=Ablate(parts=("model.blok1",))))


def test_the_plan_counts_trainings_and_groups_by_shape(recipe: Recipe) -> None:
    lines = describe_plan(check(recipe))

    counts = (
        "8 to search, 8 to ablate, 2 to train; at most 2 more to check which parts can go together"
    )
    assert lines[0] == f"about 18 trainings of up to 15 steps: {counts}"
    assert lines[1] == "90 train, 30 validation, 30 test rows"
    assert lines[2].startswith("of the first 2: ")
    assert "MiB at the peak" in lines[2]
    assert lines[3].startswith("  because: ")


def test_the_plan_is_what_a_run_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_model_costs, "measure", lambda *_, **__: StepTiming(1e-6, 1e-3, 8))
    ask = small(
        model=Model("mlp", width=8, depth=1),
        train=Train(
            epochs=60,
            batch_size=16,
            dropout=Uniform(0.0, 0.5),
            early_stopping=EarlyStopping(patience=1),
        ),
        # Six alone would be too few to measure
        search=Search(sampler="random", trials=12, batch=6, leaders=1, seeds=2),
        ablate=Ablate(parts=()),
    )
    lines = describe_plan(check(ask))
    assert lines[2].startswith("of the first 6: 6 train as one program, not compiled, about ")
    assert "measured 1 us a member-step stacked and 1000 us alone, each on one core" in lines[3]
    runner = Runner(Workspace.open(tmp_path / "run"))
    search(ask, runner=runner)
    first = runner.fleets[0]
    assert (first.members, first.how, f"  because: {first.reason}") == (
        6,
        "stacked",
        lines[3],
    )


def test_a_lower_precision_that_is_faster_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(variant: Variant, *_: Any, **__: Any) -> StepTiming:
        return StepTiming(2e-4 if variant.train.precision == "bfloat16" else 3e-4, 1e-3, 8)

    for module in (_model_costs, _plan):
        monkeypatch.setattr(module, "measure", measure)
    ask = {"model": Model("mlp", width=8, depth=1), "search": Search(trials=4, batch=4)}
    long = {"epochs": 400, "batch_size": 16, "dropout": Uniform(0.0, 0.5)}
    told = "bfloat16 measured 1.5x as fast: train.precision: bfloat16"
    assert describe_plan(check(small(**ask, train=Train(**long))))[-1] == told
    assert told not in describe_plan(check(small(**ask, train=Train(**long, precision="float64"))))


def test_the_plan_says_why_something_cannot_be_stacked() -> None:
    recipe = small(
        model=Model(Branching),
        train=Train(epochs=2, batch_size=16),
        search=Search(trials=2, batch=2),
        ablate=Ablate(parts=()),
    )

    lines = describe_plan(check(recipe))

    assert any("cannot be stacked" in line for line in lines)


class Branching(nn.Module):
    """Decides by its values, which cannot be stacked."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.fc(x)
        return y if y.sum() > 0 else -y


def test_a_mistake_in_the_data_does_not_hide_one_in_the_model() -> None:
    with pytest.raises(RecipeError) as caught:
        check(
            small(
                data=Data(source="nothing.csv", target="y"),
                model=Model(Wrong, widht=3),
                ablate=Ablate(parts=()),
            )
        )

    told = [str(p) for p in caught.value.problems]
    assert told[0].startswith("data.source: no file 'nothing.csv'")
    assert told[1].endswith("takes no argument 'widht' - did you mean 'width'?")


def test_mistakes_of_every_kind_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("u,v\n1,2\n3,4\n")
    path = tmp_path / "bad.yaml"
    path.write_text(
        "data:\n"
        f"  source: {tmp_path / 'rosw.csv'}\n"
        "  target: v\n"
        "model:\n"
        "  use: torch.nn:Linaer\n"
        "train:\n"
        "  epochs: ten\n"
        "  dropout: {uniform: [0.5, 0.1]}\n"
        "serch: {}\n"
    )

    with pytest.raises(RecipeError) as caught:
        load_recipe(path)

    told = [str(p) for p in caught.value.problems]
    assert [line.removeprefix(f"{path}:")[:16] for line in told] == [
        "2: data.source: ",
        "5: model.use: 't",
        "7: train.epochs:",
        "8: train.dropout",
        "9: serch: unknow",
    ]
    assert told[0].endswith("rows.csv'?")


def test_a_model_that_cannot_be_exported_is_refused_before_it_trains(tmp_path: Path) -> None:
    recipe = small(
        model=Model(Branching),
        train=Train(epochs=2, batch_size=16),
        search=Search(trials=2, batch=2),
        ablate=Ablate(parts=()),
    )

    with Flow(recipe, tmp_path / "flow") as flow:
        with pytest.raises(
            RecipeError,
            match=r"model.use: cannot export the model to ONNX.*torch.where.* - without a bundle",
        ):
            flow.compress()
        assert "search" not in flow.documents()
        assert "final" not in flow.documents()


def test_data_that_cannot_be_used_are_told_under_data() -> None:
    with pytest.raises(RecipeError, match=r"data\.source: no file 'nothing.csv'"):
        check(small(data=Data(source="nothing.csv", target="y")))


class EndsInSoftmax(nn.Module):
    """Gives probabilities, where cross-entropy takes scores."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).softmax(dim=1)


def test_a_softmax_at_the_end_of_a_model_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    recipe = small(model=Model(EndsInSoftmax), ablate=Ablate(parts=()))

    with Flow(recipe, tmp_path / "run", progress=lambda event: told.append(event.message or "")):
        pass

    assert [text for text in told if "look like probabilities" in text] == list(
        check(recipe).warnings
    )
    assert len(check(recipe).warnings) == 1
    assert check(small()).warnings == ()


def test_a_file_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it gets a recipe, is checked and run; anew where its bytes or the settings are
    others.
    """
    learned: list[Data] = []

    def counted(table: Table, data: Data, train: np.ndarray) -> Any:
        learned.append(data)
        return fit(table, data, train)

    monkeypatch.setattr("winnow.data._prepared.fit", counted)
    rng = np.random.default_rng(0)
    file = tmp_path / "rows.csv"
    frame = pl.DataFrame(
        {"a": rng.normal(size=200), "b": rng.normal(size=200), "y": rng.random(200) < 0.1}
    )
    frame.write_csv(file)

    # Few are true: a note on the metric looks at the rows, too
    recipe = open_source(str(file), target="y", keep=False).recipe
    checked = check(recipe)
    with Flow(recipe, tmp_path / "run"):
        pass
    assert len(learned) == 1
    with pytest.raises(ValueError, match="read-only"):
        checked.prepared.train.X[0] = 0  # type: ignore[union-attr]

    other = check(
        recipe.model_copy(update={"data": Data(source=str(file), target="y", split=Split(seed=1))})
    )
    assert len(learned) == 2
    assert not np.array_equal(other.prepared.train.index, checked.prepared.train.index)  # type: ignore[union-attr]

    frame.with_columns(pl.col("a") + 1).write_csv(file)
    assert check(recipe).prepared.digest != checked.prepared.digest
    assert len(learned) == 3

    fresh = prepare(recipe.data)
    assert len(learned) == 4
    fresh.train.X[0] = 0  # type: ignore[union-attr]  # one's own
