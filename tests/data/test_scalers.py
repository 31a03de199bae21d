"""How numbers are scaled: each scaler held against scikit-learn's, and all of them to one
contract, a user's own among them.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from winnow.data import Preparation, describe, load_table, prepare
from winnow.errors import DataError, RecipeError
from winnow.execution import Runner, Workspace
from winnow.methods import SCALERS, BaseScaler, Cosine, Curve, Linear, RankGauss, Standardize
from winnow.pipeline import check
from winnow.recipe import Data, Model, Prepare, Recipe, Scaler, Variant

RNG = np.random.default_rng(0)
ROWS = 400
# Skewed, with ties, whole, nearly normal: what columns are like
X = np.column_stack(
    [
        RNG.lognormal(0, 2, ROWS),
        np.maximum(RNG.normal(size=ROWS), 0),
        RNG.integers(0, 12, ROWS),
        RNG.normal(1e6, 1e-3, ROWS),
    ]
)
Y = (X[:, 0] > 1).astype(int)


class Robust(BaseScaler):
    """By quartiles, which no outlier moves."""

    def fit_column(self, values_N: np.ndarray) -> Linear:
        low, middle, high = np.quantile(values_N, [0.25, 0.5, 0.75])
        return Linear(middle, (high - low) or 1.0)


class SignedLog(BaseScaler):
    """Logarithms of both signs."""

    unit: float = 1.0

    def fit_column(self, values_N: np.ndarray) -> Curve:
        return Curve.of(lambda x: np.sign(x) * np.log1p(np.abs(x) / self.unit), values_N)


class Odd(BaseScaler):
    """Gives what stands in it."""

    given: ClassVar[Any] = None

    def fit(self, chunks: Any) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def arrays(scale: Any, x: np.ndarray = X) -> Data:
    return Data.arrays(x, Y[: len(x)], prepare=Prepare(scale=scale))


FAMILY = [*SCALERS, Robust, SignedLog]

# -- the contract ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scaler", FAMILY)
@pytest.mark.parametrize("kind", ["table", "frame", "pictures"])
def test_what_is_learned_is_plain_data_of_the_training_rows(
    scaler: type[BaseScaler], kind: str
) -> None:
    frame = pl.DataFrame(X, ["a", "b", "c", "d"])
    pictures = RNG.random((60, 2, 3, 4)) ** [[[3]], [[1]]]
    settings = {"prepare": Prepare(scale=scaler())}
    data = {
        "table": lambda: Data.arrays(X, Y, **settings),
        "frame": lambda: Data.frame(frame.with_columns(y=pl.Series(Y)), "y", **settings),
        "pictures": lambda: Data.arrays(pictures, np.arange(60) % 2, **settings),
    }[kind]()
    prepared, table = prepare(data), load_table(data)
    plain = json.loads(json.dumps(prepared.preparation.to_dict(), allow_nan=False))
    again = Preparation.from_dict(plain)

    assert again == prepared.preparation
    everything = again.transform(table.X)
    for part in (prepared.train, prepared.validation, prepared.test):
        np.testing.assert_array_equal(part.X, everything[part.index])
    # Oracle: the scaler on the training rows alone, channel by channel where they are pictures
    rows = np.asarray(table.X)[prepared.train.index].astype(float)
    columns = np.moveaxis(rows, 1, -1).reshape(-1, rows.shape[1])
    for i, found in enumerate(scaler().fit([columns])):
        is_line = isinstance(found, Linear)
        scaled = (
            (columns[:, i] - found.center) / found.scale  # type: ignore[union-attr]
            if is_line
            else found.apply(columns[:, i])  # type: ignore[union-attr]
        )
        own = np.moveaxis(prepared.train.X, 1, -1).reshape(columns.shape)[:, i]
        np.testing.assert_allclose(own, scaled, rtol=1e-6, atol=1e-6)
    json.dumps(describe(prepared).to_dict(), allow_nan=False)


@pytest.mark.parametrize("scaler", FAMILY)
def test_order_is_kept_and_every_number_has_a_place(scaler: type[BaseScaler]) -> None:
    preparation = prepare(arrays(scaler())).preparation
    line = np.linspace(-1e7, 1e7, 101)
    features = preparation.transform(np.column_stack([line] * 4))

    assert np.isfinite(features).all()
    assert (np.diff(features, axis=0) >= 0).all()


@pytest.mark.parametrize("scaler", FAMILY)
def test_a_column_of_one_value_stays_finite(scaler: type[BaseScaler]) -> None:
    x = np.column_stack([X[:, 0], np.full(ROWS, 3.0)])
    prepared = prepare(arrays(scaler(), x))

    assert np.isfinite(prepared.preparation.transform([[1.0, 3.0], [1.0, 4.0]])).all()
    assert len(np.unique(prepared.train.X[:, 1])) == 1


@pytest.mark.parametrize("scaler", FAMILY)
def test_it_is_a_part_that_can_be_switched_off(scaler: type[BaseScaler]) -> None:
    recipe = Recipe(data=arrays(scaler()), model=Model("mlp"))
    (name,) = recipe.parts().keys() & {"standardize", "scale"}
    phrase = scaler.phrase or f"numbers scaled by {scaler.__name__}"

    assert name == ("standardize" if scaler is Standardize else "scale")
    assert recipe.parts()[name].what == phrase
    assert recipe.without(name).data.prepare == Prepare(standardize=False)
    np.testing.assert_array_equal(
        prepare(recipe.without(name).data).train.X,
        X[prepare(recipe.data).train.index].astype(np.float32),
    )


# -- each against scikit-learn ---------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 50, 400, 2500])
def test_rank_gauss_is_scikit_learns_quantile_transformer(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = np.column_stack([rng.lognormal(size=rows), rng.normal(3, 1e3, rows)])
    oracle = QuantileTransformer(
        n_quantiles=min(1000, rows), output_distribution="normal", subsample=None
    ).fit(x)
    fresh = np.vstack([x, rng.normal(1, 3, (200, 2))])
    expected = oracle.transform(fresh)
    for i, found in enumerate(RankGauss().fit([x])):
        assert isinstance(found, Curve)
        assert len(found.x) == min(1000, rows)
        np.testing.assert_allclose(found.apply(fresh[:, i]), expected[:, i], atol=1e-9)


@pytest.mark.parametrize("rows", [20, 50, 100, 777, 1000])
def test_equal_values_share_the_middle_of_their_ranks(rows: int) -> None:
    """Closed form. Scikit-learn's quantiles are rounded, so that some ties are off there."""
    rng = np.random.default_rng(rows)
    values = rng.integers(0, 5, rows) * rng.choice([1.0, 0.1], rows)
    (found,) = RankGauss().fit([values[:, None]])
    assert isinstance(found, Curve)
    inside = (values > values.min()) & (values < values.max())
    shares = (stats.rankdata(values[inside]) + (values == values.min()).sum() - 1) / (rows - 1)
    np.testing.assert_allclose(found.apply(values[inside]), stats.norm.ppf(shares), atol=1e-12)
    assert set(np.abs(found.apply(values[~inside])).round(6)) == {5.199338}


@pytest.mark.parametrize("rows", [1500, 4001])
def test_ties_among_many_rows_are_ranked_to_a_quantile(rows: int) -> None:
    values = np.random.default_rng(0).integers(0, 6, rows).astype(float)
    (found,) = RankGauss().fit([values[:, None]])
    inside = (values > 0) & (values < 5)
    shares = stats.norm.cdf(found.apply(values[inside]))  # type: ignore[union-attr]
    expected = (stats.rankdata(values)[inside] - 1) / (rows - 1)
    assert np.abs(shares - expected).max() < 1 / 999


def test_standardizing_is_scikit_learns_to_the_bit() -> None:
    data = Data(source="sklearn:diabetes")
    table, prepared = load_table(data), prepare(data)
    oracle = StandardScaler().fit(np.asarray(table.X)[prepared.train.index])
    columns = prepared.preparation.columns

    assert [c.mean for c in columns] == oracle.mean_.tolist()
    assert [c.scale for c in columns] == oracle.scale_.tolist()


def test_a_scaler_of_the_users_is_what_it_says() -> None:
    prepared = prepare(arrays(Robust()))
    train = X[prepared.train.index]
    expected = RobustScaler().fit(train).transform(X[prepared.test.index])
    np.testing.assert_allclose(prepared.test.X, expected, rtol=1e-5, atol=1e-5)
    logs = prepare(arrays(SignedLog(unit=0.5))).train.X[:, 0]
    np.testing.assert_allclose(logs, np.log1p(train[:, 0] / 0.5), atol=1e-5)  # at the knots


# -- curves ----------------------------------------------------------------------------------------


def test_a_curve_is_interpolated_and_stays_at_its_ends() -> None:
    curve = Curve((0, 1, 3), (0, 10, 0))
    values = np.array([-5.0, 0, 0.5, 1, 2, 3, 9])
    assert curve.apply(values).tolist() == [0, 0, 5, 10, 5, 0, 0]
    step = Curve((0, 1, 1, 2), (0, 0, 1, 1))
    assert step.apply(np.array([0.9, 1, 1.1])).tolist() == [0, 0.5, 1]


def test_the_knots_of_a_function_are_quantiles() -> None:
    curve = Curve.of(np.sqrt, np.arange(5001.0))
    assert len(curve.x) == 1000
    assert (curve.x[0], curve.x[-1]) == (0, 5000)
    assert curve.y == tuple(np.sqrt(curve.x).tolist())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Curve((1, 2), (1,)), "as many x as y, and at least one, got 2 and 1"),
        (lambda: Curve((), ()), "at least one, got 0 and 0"),
        (lambda: Curve((2, 1), (0, 1)), "x in order"),
        (lambda: Curve((1, 2), (0, np.inf)), "finite x and y"),
        (lambda: Curve((1, 2), (0, 2), normal=True), r"shares y in \[0, 1\]"),
        (lambda: Linear(0, 0), "scale other than 0, got 0 and 0"),
        (lambda: Linear(np.nan, 1), "a finite center"),
    ],
)
def test_what_no_column_can_have_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# -- the recipe ------------------------------------------------------------------------------------


def identity(prepare: Prepare) -> str:
    data = Data(source="sklearn:iris", prepare=prepare)
    recipe = Recipe(data=data, model=Model("mlp", width=8))
    variant = recipe.variant(1, metric="accuracy", context="")
    assert Variant(**json.loads(variant.model_dump_json())).id == variant.id
    return variant.id


def test_the_identity_of_what_was_there_before_stays() -> None:
    usual = identity(Prepare())
    assert usual == "4c03cbf4c0f47c7c2743"
    assert identity(Prepare(standardize=False)) == "354a25d7b8714dc728f4"
    assert identity(Prepare(scale="standardize")) == usual
    assert identity(Prepare(scale=Standardize(), standardize=False)) == usual
    others = [Prepare(scale=s) for s in ("rank_gauss", Robust, SignedLog, SignedLog(unit=2.0))]
    assert len({usual, *map(identity, others)}) == 5


@pytest.mark.parametrize(
    "scale", ["rank_gauss", "my.steps:Robust", {"use": "my.steps:Robust", "args": {"k": 2}}]
)
def test_a_scaler_survives_yaml(scale: Any) -> None:
    recipe = Recipe(
        data=Data(source="sklearn:iris", prepare={"scale": scale}), model=Model("mlp", width=8)
    )
    assert not recipe.data.prepare.standardize
    for defaults in (False, True):
        assert Recipe.from_yaml(recipe.to_yaml(defaults=defaults)) == recipe


def test_what_a_users_scaler_learned_is_part_of_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = Recipe(data=arrays(Odd), model=Model("mlp", width=8))

    def context(center: float) -> str:
        monkeypatch.setattr(Odd, "given", [Linear(center)] * 4)
        with Workspace.open(None) as workspace:
            return Runner(workspace).context(recipe)[1]

    assert context(0) == context(0) != context(1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (KeyError("x"), r"scale: Odd failed: KeyError: 'x'"),
        ([Linear()], r"scale: expected of Odd a Linear or a Curve for each of 4 columns, got 1"),
        ([Linear(), 3, 3, 3], r"scale: expected of Odd a Linear or a Curve .*, got 4: Linear, int"),
    ],
)
def test_a_scaler_that_fails_is_told_before_anything_trains(
    given: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Odd, "given", given)
    with pytest.raises(DataError, match=r"^data\.prepare\." + message):
        prepare(arrays(Odd))
    with pytest.raises(RecipeError, match=r"data\.prepare\." + message):
        check(Recipe(data=arrays(Odd), model=Model("mlp", width=8)))


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ("no.such:Scaler", r"data\.prepare\.scale\.use: cannot import 'no'"),
        (Cosine, r"prepare\.scale\.use: expected a subclass of winnow\.methods\.BaseScaler"),
        (Scaler(SignedLog, unti=1), r"prepare\.scale\.args\.unti: .*'unit'"),
    ],
)
def test_what_is_no_scaler_is_refused(scale: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check(Recipe(data=arrays(scale), model=Model("mlp", width=8)))


# -- written down ----------------------------------------------------------------------------------


def test_without_curves_a_preparation_is_written_as_before() -> None:
    for scale in (None, Robust):
        plain = prepare(arrays(scale)).preparation.to_dict()
        assert plain["format"] == 2
        assert not any("curve" in column for column in plain["columns"])
    assert prepare(arrays("rank_gauss")).preparation.to_dict()["format"] == 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"x": [1, 0], "y": [0, 1], "normal": False}, "ValueError: expected x in order"),
        ({"x": [0, 1], "y": [0, 1]}, "KeyError: 'normal'"),
        ("no.such:Curve", "TypeError"),
    ],
)
def test_a_damaged_curve_is_refused(damage: Any, message: str) -> None:
    plain = prepare(arrays("rank_gauss")).preparation.to_dict()
    plain["columns"][0]["curve"] = damage
    with pytest.raises(DataError, match=f"not a preparation: {message}"):
        Preparation.from_dict(plain)
