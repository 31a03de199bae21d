"""Steps from features to features: each held against scikit-learn's, what they learn against plain
NumPy, and a user's own among them.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA  # noqa: N811
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer

from winnow.data import Preparation, describe, load_table, prepare
from winnow.errors import DataError, RecipeError
from winnow.execution import Runner, Workspace
from winnow.methods import (
    PCA,
    STEPS,
    Affine,
    BaseStep,
    Beside,
    Cosine,
    Curve,
    Curves,
    Function,
    Keep,
    Linear,
    PiecewiseLinear,
    Polynomial,
    Products,
    Program,
    SelectBest,
)
from winnow.pipeline import check
from winnow.recipe import Data, DataStep, Model, Prepare, Recipe, Uniform, Variant

RNG = np.random.default_rng(0)
ROWS = 200
# Correlated normal columns, a skewed one, and one of two values
X = RNG.normal(size=(ROWS, 6)) @ RNG.normal(size=(6, 6))
X[:, 4] = np.exp(X[:, 4])
X[:, 5] = X[:, 5] > 0
NUMBERS = X[:, :5]
LABELS = (X[:, 1] + 0.3 * X[:, 5] > 0).astype(int) + (X[:, 1] > 2)
QUANTITY = X[:, 0] - 0.1 * X[:, 2]
NAMES = tuple("abcdef")


class Waves(BaseStep):
    """Random Fourier features beside the features themselves."""

    count: int = 7

    def learn(self, features_NF: np.ndarray, names: Any, targets_N: np.ndarray) -> Any:
        rng = np.random.default_rng(0)
        weight = rng.normal(size=(self.count, len(names)))
        shift = rng.uniform(0, 2 * np.pi, self.count)
        labels = [f"wave {i}" for i in range(self.count)]
        return Beside([[], [Affine(weight, shift, labels), Function("cos")]])


class Odd(BaseStep):
    """Gives what stands in it."""

    given: ClassVar[Any] = Keep((0,))

    def learn(self, features_NF: np.ndarray, names: Any, targets_N: np.ndarray) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given(features_NF, targets_N) if callable(self.given) else self.given


def arrays(*steps: Any, y: np.ndarray = LABELS, **settings: Any) -> Data:
    return Data.arrays(X, y, prepare=Prepare(steps=steps, **settings))


# -- each against scikit-learn ---------------------------------------------------------------------


@pytest.mark.parametrize("components", [1, 3, 50, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("whiten", [False, True])
def test_pca_is_scikit_learns(components: float, whiten: bool) -> None:
    oracle = SklearnPCA(
        components if components < 50 else None, whiten=whiten, svd_solver="full"
    ).fit(NUMBERS)
    program = PCA(components=components, whiten=whiten).program(NUMBERS, NAMES[:5], LABELS)
    found, expected = program.apply(NUMBERS), oracle.transform(NUMBERS)

    assert found.shape == expected.shape
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, rtol=1e-9, atol=1e-9)


def test_the_sign_of_a_component_is_that_of_its_largest_weight() -> None:
    (operation,) = PCA(components=5).program(NUMBERS, NAMES[:5], LABELS).operations
    assert isinstance(operation, Affine)
    weight = np.array(operation.weight)
    assert (weight[np.arange(5), np.abs(weight).argmax(axis=1)] > 0).all()
    # Two standardized features have weights of one size, so the first decides
    pair = (NUMBERS[:, :2] - NUMBERS[:, :2].mean(0)) / NUMBERS[:, :2].std(0)
    for flip in (1, -1):
        (operation,) = PCA(components=2).program(pair * [1, flip], "ab", LABELS).operations
        assert isinstance(operation, Affine)
        np.testing.assert_allclose(np.array(operation.weight)[:, 0], [0.5**0.5] * 2)


@pytest.mark.parametrize(
    ("rows", "shift"), [(3, 0.0), (ROWS, 0.0), (ROWS, 1e5)], ids=["few", "many", "far"]
)
def test_pca_of_rows_without_variance_stays_finite(rows: int, shift: float) -> None:
    constant = np.full((rows, 4), 2.0)
    program = PCA(whiten=True).program(constant + shift, "abcd", LABELS[:rows])
    assert np.abs(program.apply(constant + shift)).max() < 1e-6


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_the_best_features_are_scikit_learns(task: str, k: int) -> None:
    score, y = (
        (f_classif, LABELS) if task == "classification" else (f_regression, QUANTITY.astype(float))
    )
    oracle = SelectKBest(score, k=min(k, 6)).fit(X, y)
    (operation,) = SelectBest(features=k).program(X, NAMES, y).operations

    assert isinstance(operation, Keep)
    assert list(operation.columns) == oracle.get_support(indices=True).tolist()


def test_a_feature_of_one_value_says_nothing() -> None:
    wide = np.column_stack([np.full(ROWS, 0.1), np.full(ROWS, 1e9), X])
    for y in (LABELS, QUANTITY):
        (operation,) = SelectBest(features=6).program(wide, "ghabcdef", y).operations
        assert operation == Keep(tuple(range(2, 8)))


@pytest.mark.parametrize("squares", [False, True])
def test_products_are_scikit_learns(squares: bool) -> None:
    oracle = PolynomialFeatures(2, include_bias=False, interaction_only=not squares).fit(NUMBERS)
    program = Polynomial(squares=squares).program(NUMBERS, NAMES[:5], LABELS)

    np.testing.assert_allclose(program.apply(NUMBERS), oracle.transform(NUMBERS), rtol=1e-12)
    named = [n.replace(" ", " * ") for n in oracle.get_feature_names_out(NAMES[:5])]
    squared = [f"{n[0]} * {n[0]}" if n.endswith("^2") else n for n in named]
    assert list(program.names(NAMES[:5])) == squared


def test_products_that_say_nothing_more_are_left_out() -> None:
    colors = np.eye(3)[np.arange(ROWS) % 3]
    found = Polynomial().program(np.column_stack([NUMBERS[:, 0], colors]), "nrgb", LABELS)
    assert found.names("nrgb") == (*"nrgb", "n * n", "n * r", "n * g", "n * b")


def test_too_many_products_are_refused() -> None:
    with pytest.raises(ValueError, match=r"150 features have 11,325 products, and at most 10,000"):
        Polynomial().program(RNG.normal(size=(4, 150)), list(map(str, range(150))), LABELS[:4])


@pytest.mark.parametrize("bins", [2, 5, 8])
def test_piecewise_linear_features_are_those_of_the_formula(bins: int) -> None:
    """Oracles: the formula in a loop, and scikit-learn's splines of degree 1, which they span."""
    column = NUMBERS[:, 4:]
    program = PiecewiseLinear(bins=bins).program(column, "e", LABELS)
    fresh = np.concatenate([column, [[-1.0], [1e4]]])
    edges = np.quantile(column, np.linspace(0, 1, bins + 1))
    expected = [
        [min(max((value - low) / (high - low), 0), 1) for low, high in pairwise(edges)]
        for value in fresh[:, 0]
    ]
    found = program.apply(fresh)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert program.names("e") == tuple(f"e (bin {i + 1})" for i in range(bins))

    splines = SplineTransformer(bins + 1, degree=1, knots="quantile", extrapolation="constant")
    basis = splines.fit(column).transform(fresh)
    both = np.column_stack([np.ones(len(fresh)), found])
    solved, *_ = np.linalg.lstsq(both, basis)
    np.testing.assert_allclose(both @ solved, basis, atol=1e-9)


def test_features_of_two_values_have_no_bins() -> None:
    program = PiecewiseLinear(bins=3).program(X[:, 4:], "ef", LABELS)
    assert program.names("ef") == ("e (bin 1)", "e (bin 2)", "e (bin 3)", "f")
    np.testing.assert_array_equal(program.apply(X[:, 4:])[:, 3], X[:, 5])


# -- programs --------------------------------------------------------------------------------------

LINE = np.array([[-2.0, 0.5], [3.0, -1e30], [0.0, 7.0]])


@pytest.mark.parametrize(
    ("operation", "expected", "names"),
    [
        (Keep((1, 0, 1)), LINE[:, [1, 0, 1]], ("b", "a", "b")),
        (
            Affine([[1, 2], [0, -1]], [1, 0], ["u", "v"]),
            LINE @ [[1, 0], [2, -1]] + [1, 0],
            ("u", "v"),
        ),
        (Products([(0,), (0, 1)]), np.c_[LINE[:, 0], LINE.prod(1)], ("a", "a * b")),
        (
            Curves([Linear(1, 2), Curve((0, 1), (0, 10))]),
            [[-1.5, 5], [1, 0], [-0.5, 10]],
            ("a", "b"),
        ),
        (Curves([Linear(), Linear()], ["c", "d"]), LINE, ("c", "d")),
        (Beside([[], [Keep((0,)), Function("abs")]]), np.c_[LINE, [2, 3, 0]], ("a", "b", "abs(a)")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_operation_is_what_it_says(operation: Any, expected: Any, names: Any) -> None:
    program, kept = Program((operation,)), LINE.copy()
    np.testing.assert_allclose(program.apply(LINE), expected)
    np.testing.assert_array_equal(LINE, kept)
    assert program.names("ab") == names
    assert Program.from_plain(json.loads(json.dumps(program.to_plain()))) == program
    for row in range(3):
        np.testing.assert_allclose(program.apply(LINE[row : row + 1])[0], expected[row])


@pytest.mark.parametrize(
    "name", ["abs", "cos", "exp", "relu", "sigmoid", "sign", "sin", "square", "tanh", "signed_log"]
)
def test_functions_are_pytorchs_and_finite_everywhere(name: str) -> None:
    x = np.array([[-1e300, -800, -3.0, -0.1, 0, 1e-9, 0.7, 2, 800, 1e300]])
    tensor = torch.from_numpy(x)
    expected = (
        tensor.sign() * tensor.abs().log1p()
        if name == "signed_log"
        else getattr(torch, name)(tensor)
    )
    largest = float(np.finfo(np.float32).max)
    found = Program((Function(name),)).apply(x)
    np.testing.assert_allclose(found, expected.numpy().clip(-largest, largest), rtol=1e-12)
    assert np.isfinite(found.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Keep((-1,)), "positions from 0, got -1"),
        (lambda: Affine([[1.0], [1.0, 2.0]], [0, 0], "ab"), "rows of weight"),
        (lambda: Affine([[1.0]], [0, 0], "a"), "as many rows .* got 1, 2 and 1"),
        (lambda: Affine([[np.nan]], [0], "a"), "finite numbers as weight"),
        (lambda: Products([()]), "at least one factor"),
        (lambda: Curves([1.0]), "a Curve or a Linear for each feature, got a float"),
        (lambda: Curves([Linear()], "ab"), "as many labels as curves, got 2 and 1"),
        (lambda: Function("eval"), "one of abs, cos, .* got 'eval'"),
        (lambda: Beside([]), "at least one branch"),
        (lambda: Program((np.zeros(3),)), r"operations \(Keep, .*\), got a ndarray"),
        (lambda: Program((Keep((2,)),)).names("ab"), "no feature 2 among 2"),
        (lambda: Program((Curves([Linear()]),)).names("ab"), "expected 1 features, got 2"),
        (lambda: Program((Affine([[1.0]], [0], "a"),)).names("ab"), "expected 1 features, got 2"),
    ],
)
def test_what_no_program_can_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_file_cannot_ask_for_ever_more_features() -> None:
    twice: dict[str, Any] = {"operation": "beside", "branches": [[], []]}
    with pytest.raises(ValueError, match="at most 1,000,000 features"):
        Program.from_plain([twice] * 60).names("ab")


# -- in the preparation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [*(kind() for kind in STEPS), Waves()], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_step_learns_from_the_training_rows_alone(step: BaseStep, task: str) -> None:
    y = LABELS if task == "classification" else QUANTITY
    frame = pl.DataFrame(X[:, :5], list(NAMES[:5])).with_columns(
        color=pl.Series(np.array(["red", "green", "blue"])[RNG.integers(0, 3, ROWS)]),
        y=pl.Series(y),
    )
    data = Data.frame(frame, "y", prepare=Prepare(steps=[step], scale="rank_gauss"))
    prepared, table = prepare(data), load_table(data)
    without = prepare(Data.frame(frame, "y", prepare=Prepare(scale="rank_gauss")))
    plain = json.loads(json.dumps(prepared.preparation.to_dict(), allow_nan=False))
    again = Preparation.from_dict(plain)

    assert again == prepared.preparation
    assert plain["format"] == 4
    assert len(again.feature_names) == again.width == prepared.in_shape[0]
    names = without.preparation.feature_names
    own = step.program(
        without.train.X.astype(float),
        names,
        without.train.y if task == "classification" else without.train.y.astype(float),
    )
    assert own == again.program
    for part in ("train", "validation", "test"):
        rows = getattr(prepared, part)
        expected = own.apply(getattr(without, part).X.astype(float))
        np.testing.assert_allclose(rows.X, expected, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            again.transform(table.X[rows.index]), rows.X, rtol=1e-6, atol=1e-6
        )
        np.testing.assert_array_equal(rows.index, getattr(without, part).index)
    assert again.schema == without.preparation.schema
    width = without.preparation.width
    assert f"{width} features become {again.width}" in prepared.notes[-1]
    json.dumps(describe(prepared).to_dict(), allow_nan=False)


def test_steps_go_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(arrays(Polynomial(), SelectBest(features=8), PCA(components=3)))
    assert prepared.in_shape == (3,)
    notes = [note for note in prepared.notes if note.startswith("data.prepare.steps")]
    assert [note.partition(" (")[0] for note in notes] == [
        f"data.prepare.steps[{i}]" for i in range(3)
    ]
    assert notes[1].endswith("26 features become 8")
    # In pieces of a few rows it is the same
    monkeypatch.setattr("winnow.data._preparation._AT_ONCE", 100)
    np.testing.assert_allclose(
        prepared.preparation.transform(X[prepared.test.index]),
        prepared.test.X,
        rtol=1e-6,
        atol=1e-6,
    )


def test_a_shape_is_that_of_the_features_after_the_steps() -> None:
    settings: dict[str, Any] = {"prepare": Prepare(steps=[PCA(components=4)])}
    assert prepare(Data.arrays(X, LABELS, shape=[1, 2, 2], **settings)).in_shape == (1, 2, 2)
    with pytest.raises(DataError, match=r"data.shape: 1 x 6 = 6 does not fit the 4 features"):
        prepare(Data.arrays(X, LABELS, shape=[1, 6], **settings))


def test_what_is_written_without_steps_stays_as_it_was() -> None:
    plain = prepare(arrays()).preparation.to_dict()
    assert plain["format"] == 2
    assert "program" not in plain
    assert prepare(arrays(scale="rank_gauss")).preparation.to_dict()["format"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"program": [{"operation": "eval", "code": "1"}]}, "KeyError: 'eval'"),
        ({"program": [{"operation": "keep", "columns": [7]}]}, "no feature 7 among 6"),
        ({"program": [{"operation": "keep", "columns": [0]}]}, "give 1 features, .* shape has 2"),
        ({"program": "keep"}, "TypeError"),
        ({"format": 5}, "format 5, this winnow reads up to 4"),
    ],
)
def test_a_damaged_program_is_told(change: dict[str, Any], message: str) -> None:
    plain = prepare(arrays(PCA(components=2))).preparation.to_dict()
    with pytest.raises(DataError, match=message):
        Preparation.from_dict(plain | change)


# -- the recipe ------------------------------------------------------------------------------------


def test_steps_are_parts() -> None:
    recipe = Recipe(data=arrays(PCA(), PCA(components=2), Waves()), model=Model("mlp"))
    parts = {name: part.what for name, part in recipe.parts().items() if "step" in name}

    assert parts == {
        "step.pca": "principal components",
        "step.pca_2": "principal components",
        "step.Waves": "data step Waves",
    }
    without = recipe.without("step.pca_2", "step.Waves")
    assert without.data.prepare.steps == (PCA(),)
    assert prepare(recipe.without("step.pca", "step.pca_2").data).in_shape == (13,)
    asked = Recipe(**{**dict(recipe), "ablate": {"parts": ["momentum", "step.pca", "step.pca_2"]}})
    assert asked.without("step.pca_2").ablate.parts == ("momentum", "step.pca")
    fewer = asked.without("step.pca")
    assert fewer.data.prepare.steps[0] == PCA(components=2)
    assert fewer.ablate.parts == ("momentum", "step.pca")
    assert asked.without("step.pca", "step.pca_2").ablate.parts == ("momentum",)
    with pytest.raises(RecipeError, match=r"no such part 'step.PCA'"):
        Recipe(**{**dict(recipe), "ablate": {"parts": ["step.PCA"]}})


def identity(*steps: Any) -> str:
    data = Data(source="sklearn:iris", prepare=Prepare(steps=steps))
    recipe = Recipe(data=data, model=Model("mlp", width=8))
    variant = recipe.variant(1, metric="accuracy", context="")
    assert Variant(**json.loads(variant.model_dump_json())).id == variant.id
    return variant.id


def test_steps_are_part_of_the_identity_and_their_absence_is_not() -> None:
    kinds: list[Any] = [
        [],
        [PCA()],
        [PCA(components=3)],
        [PCA(), SelectBest()],
        [SelectBest(), PCA()],
    ]
    kinds += [[Waves], [Waves(count=3)]]
    ids = [identity(*steps) for steps in kinds]
    assert ids[0] == "4c03cbf4c0f47c7c2743"
    assert len(set(ids)) == len(kinds)


def test_what_a_users_step_learned_is_part_of_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    def context(*steps: Any) -> str:
        with Workspace.open(None) as workspace:
            return Runner(workspace).context(
                Recipe(data=arrays(*steps), model=Model("mlp", width=8))
            )[1]

    def odd(*columns: int) -> str:
        monkeypatch.setattr(Odd, "given", Keep(columns))
        return context(Odd)

    assert odd(0, 1) == odd(0, 1) != odd(1, 0)
    assert context(PCA()) == context()  # winnow's own go by their settings


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "pca", "components": 4},
        "my.steps:Waves",
        {"use": "my.steps:Waves", "args": {"k": 2}},
    ],
)
def test_a_step_survives_yaml(step: Any) -> None:
    data = Data(source="sklearn:iris", prepare={"steps": [step, {"kind": "select_best"}]})
    recipe = Recipe(data=data, model=Model("mlp", width=8))
    for defaults in (False, True):
        assert Recipe.from_yaml(recipe.to_yaml(defaults=defaults)) == recipe


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (KeyError("x"), r"Odd failed: KeyError: 'x'"),
        (Keep(()), r"Odd failed: ValueError: it leaves no feature"),
        (Keep((0, 0)), r"Odd failed: ValueError: two of its features are called 'x0'"),
        (Keep((6,)), r"Odd failed: ValueError: there is no feature 6 among 6"),
        (None, r"Odd failed: ValueError: expected operations \(.*\), got a NoneType"),
        (lambda _, x, y: x.fill(0), r"Odd failed: ValueError: .*read-only"),
        (lambda _, x, y: y.sort(), r"Odd failed: ValueError: .*read-only"),
    ],
)
def test_a_step_that_fails_is_told_before_anything_trains(
    given: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "given", given)
    with pytest.raises(DataError, match=r"^data\.prepare\.steps\[1\]: " + message):
        prepare(arrays(SelectBest(), Odd))
    with pytest.raises(RecipeError, match=r"data\.prepare\.steps\[1\]: " + message):
        check(Recipe(data=arrays(SelectBest(), Odd), model=Model("mlp", width=8)))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("no.such:Step", r"data\.prepare\.steps\[0\]\.use: cannot import 'no'"),
        (Cosine, r"steps\[0\]\.use: expected a subclass of winnow\.methods\.BaseStep"),
        (DataStep(Waves, cuont=1), r"steps\[0\]\.args\.cuont: .*'count'"),
    ],
)
def test_a_class_that_is_no_step_is_told(step: Any, message: str) -> None:
    with pytest.raises((DataError, RecipeError), match=message):
        prepare(arrays(step))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"kind": "pca", "components": 0}, r"components: .*at least 1|components"),
        ({"kind": "pca", "components": 1.5}, r"components"),
        ({"kind": "pca", "components": Uniform(0.5, 0.9)}, r"components"),
        ("pca", r"steps\[0\]: expected a mapping of settings, got 'pca' - write \{kind: pca\}"),
        ({"kind": "pac"}, r"did you mean 'pca'"),
    ],
)
def test_settings_of_steps_are_told(step: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Prepare(steps=[step])


def test_arguments_of_a_users_step_are_no_ranges() -> None:
    with pytest.raises(RecipeError, match=r"args\.count: this setting cannot be a range"):
        DataStep(Waves, count=Uniform(1, 2))


def test_pictures_and_datasets_have_no_steps() -> None:
    pictures = Data.arrays(
        RNG.random((60, 1, 4, 4)), np.arange(60) % 2, prepare=Prepare(steps=[PCA()])
    )
    words = r"prepare.steps: steps take rows of features, .* array of shape \(1, 4, 4\)"
    with pytest.raises(DataError, match=words):
        prepare(pictures)
    rows = torch.utils.data.TensorDataset(torch.randn(60, 3), torch.arange(60) % 2)
    prepared = Prepare(standardize=False, steps=[PCA()])
    with pytest.raises(DataError, match=r"prepare.steps: steps learn from rows in memory"):
        prepare(Data(**{**dict(Data.dataset(rows)), "prepare": prepared}))


def test_more_than_a_bundle_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("winnow.data._steps._MOST_BYTES", 2**10)
    with pytest.raises(DataError, match=r"prepare\.steps: what the steps learned takes .* MiB"):
        prepare(arrays(PCA()))
