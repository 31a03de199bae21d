"""What is learned from the training rows, held against scikit-learn's own transformers fitted
on the same rows.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from winnow.data import Preparation, load_table, prepare
from winnow.errors import DataError, InputError
from winnow.recipe import Data, Prepare


def by_scikit_learn(
    frame: pl.DataFrame, train: np.ndarray, settings: Prepare
) -> dict[str, np.ndarray]:
    """Features of every column of ``frame``, by transformers fitted on the rows ``train``."""
    out: dict[str, np.ndarray] = {}
    for series in frame.get_columns():
        if series.dtype == pl.String:
            values = series.to_numpy().astype(object)[:, None]
            known = series.is_not_null().to_numpy()
            encoder = OneHotEncoder(
                max_categories=settings.max_categories,
                handle_unknown="infrequent_if_exist",
                sparse_output=False,
            )
            encoder.fit(values[train][known[train]])
            hot = np.zeros((len(values), len(encoder.get_feature_names_out())))
            hot[known] = encoder.transform(values[known])
            gap = (
                np.array([[v is None] for v in values[:, 0]])
                if not known[train].all()
                else np.zeros((len(values), 0))
            )
            out[series.name] = np.hstack([hot, gap])
            continue
        values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()[:, None]
        if series.dtype == pl.Boolean:
            out[series.name] = (
                SimpleImputer(strategy="most_frequent").fit(values[train]).transform(values)
            )
            continue
        steps: list[Any] = [
            SimpleImputer(strategy=settings.impute),
            *([StandardScaler()] if settings.standardize else []),
        ]
        found = make_pipeline(*steps).fit(values[train]).transform(values)
        if settings.missing_indicator:
            found = np.hstack([found, MissingIndicator().fit(values[train]).transform(values)])
        out[series.name] = found
    return out


@pytest.mark.parametrize(
    "settings",
    [
        Prepare(),
        Prepare(standardize=False, impute="mean"),
        Prepare(impute="most_frequent", missing_indicator=True, max_categories=5),
        Prepare(max_categories=2, missing_indicator=True),
    ],
    ids=str,
)
def test_features_equal_those_of_scikit_learn(frame: pl.DataFrame, settings: Prepare) -> None:
    data = Data.frame(frame, "label", prepare=settings)
    table, prepared = load_table(data), prepare(data)
    assert isinstance(table.X, pl.DataFrame)

    expected = by_scikit_learn(table.X, prepared.train.index, settings)

    everything = prepared.preparation.transform(table.X)
    np.testing.assert_allclose(everything, np.hstack(list(expected.values())), rtol=1e-6, atol=1e-6)
    for part in (prepared.train, prepared.validation, prepared.test):
        np.testing.assert_array_equal(part.X, everything[part.index])


def test_arrays_are_standardized_as_by_scikit_learn() -> None:
    data = Data(source="sklearn:digits")
    table, prepared = load_table(data), prepare(data)
    assert isinstance(table.X, np.ndarray)

    scaler = StandardScaler().fit(table.X[prepared.train.index])

    np.testing.assert_allclose(
        prepared.test.X, scaler.transform(table.X[prepared.test.index]), rtol=1e-6, atol=1e-6
    )
    assert prepared.in_shape == (64,)
    assert (
        "5 of 64 columns hold one value only in the training rows: pixel_0_0, pixel_3_0"
        in prepared.notes[-1]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_pictures_are_standardized_by_channel(dtype: type) -> None:
    rng = np.random.default_rng(0)
    X = (rng.random((60, 3, 4, 5)) * np.array([1, 10, 200]).reshape(3, 1, 1)).astype(dtype)
    prepared = prepare(Data.arrays(X, np.arange(60) % 2))

    scaler = StandardScaler().fit(
        np.moveaxis(X[prepared.train.index], 1, -1).reshape(-1, 3).astype(float)
    )
    pixels = scaler.transform(
        np.moveaxis(X[prepared.test.index], 1, -1).reshape(-1, 3).astype(float)
    )

    expected = np.moveaxis(pixels.reshape(-1, 4, 5, 3), -1, 1)
    np.testing.assert_allclose(prepared.test.X, expected, rtol=1e-5, atol=1e-6)
    assert prepared.in_shape == (3, 4, 5)
    assert prepared.preparation.feature_names[:6] == (
        "x_0_0_0",
        "x_0_0_1",
        "x_0_0_2",
        "x_0_0_3",
        "x_0_0_4",
        "x_0_1_0",
    )
    np.testing.assert_array_equal(
        prepared.preparation.transform([{"x": row.tolist()} for row in X])[prepared.test.index],
        prepared.test.X,
    )


# -- names and shapes ------------------------------------------------------------------------------


def test_features_have_names(frame: pl.DataFrame) -> None:
    prepared = prepare(
        Data.frame(frame, "label", prepare=Prepare(missing_indicator=True, max_categories=3))
    )

    names = prepared.preparation.feature_names
    assert names[:9] == (
        "age",
        "age (missing)",
        "rooms",
        "color=green",
        "color=red",
        "color (other)",
        "color (missing)",
        "member",
        "since",
    )
    assert [n.partition("=")[0] for n in names[9:]] == ["city", "city", "city (other)"]
    assert len(names) == prepared.train.X.shape[1]


def test_rows_take_the_shape_asked_for() -> None:
    flat, square = (
        prepare(Data(source="sklearn:digits", shape=shape)) for shape in (None, (1, 8, 8))
    )

    assert square.train.X.shape[1:] == (1, 8, 8) == square.in_shape
    np.testing.assert_array_equal(square.test.X.reshape(-1, 64), flat.test.X)
    np.testing.assert_array_equal(
        square.preparation.transform(np.ones((2, 1, 8, 8))),
        square.preparation.transform(np.ones((2, 64))),
    )
    with pytest.raises(
        DataError, match=r"data\.shape: 1 x 7 x 8 = 56 does not fit the 64 features of a row"
    ):
        prepare(Data(source="sklearn:digits", shape=(1, 7, 8)))


def test_a_shape_keeps_constant_columns() -> None:
    frame = pl.DataFrame({"a": [0] * 40, "b": range(40), "y": [0, 1] * 20})

    assert prepare(Data.frame(frame, "y")).in_shape == (1,)
    assert prepare(Data.frame(frame, "y", shape=(1, 2))).in_shape == (1, 2)


# -- columns that say nothing ----------------------------------------------------------------------


def test_columns_that_say_nothing_are_left_out_and_told(frame: pl.DataFrame) -> None:
    rows = frame.height
    frame = frame.with_columns(
        empty=pl.lit(None, dtype=pl.Float64),
        same=pl.lit(7),
        name=pl.Series([f"person {i}" for i in range(rows)]),
        number=pl.Series(range(1, rows + 1)),
        once=pl.Series([5.0 if i % 3 else None for i in range(rows)]),
    )

    prepared = prepare(Data.frame(frame, "label"))

    assert {c.name for c in prepared.preparation.columns} == {
        "age",
        "rooms",
        "color",
        "member",
        "since",
        "city",
        "number",
    }
    notes = " | ".join(prepared.notes)
    for note in [
        "column 'empty' has no values in the training rows: left out",
        "column 'same' has the same value in all training rows, 7.0: left out",
        "column 'once' has the same value in all training rows, 5.0: left out",
        "column 'name' holds text that differs in every row, such as 'person ",
        "column 'number' rises from row to row: if it only numbers the rows, name it in data.drop",
        "categories: the 29 most frequent have a feature each",
        "column 'since': dates were turned into days",
    ]:
        assert note in notes


def test_gaps_that_have_a_feature_are_kept() -> None:
    frame = pl.DataFrame({"a": [5.0, None] * 20, "b": ["u", None] * 20, "y": [0, 1, 1, 0] * 10})

    prepared = prepare(Data.frame(frame, "y", prepare=Prepare(missing_indicator=True)))

    assert prepared.preparation.feature_names == ("a", "a (missing)", "b=u", "b (missing)")


def test_nothing_to_learn_from() -> None:
    frame = pl.DataFrame({"a": [1] * 20, "b": [f"n{i}" for i in range(20)], "y": [0, 1] * 10})

    with pytest.raises(
        DataError, match="no column can be learned from: column 'a' has the same value"
    ):
        prepare(Data.frame(frame, "y"))


# -- new rows --------------------------------------------------------------------------------------


@pytest.fixture
def prepared_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, Preparation, np.ndarray]:
    prepared = prepare(Data.frame(frame, "label"))
    table = frame.drop("label")
    return table, prepared.preparation, prepared.preparation.transform(table)


def test_every_form_of_rows_gives_the_same(
    prepared_columns: tuple[pl.DataFrame, Preparation, np.ndarray],
) -> None:
    frame, preparation, expected = prepared_columns
    records = frame.to_dicts()
    pandas = pd.DataFrame(records)

    for rows in (
        frame.with_columns(extra=pl.lit(1)),
        frame.lazy(),
        pandas,
        pandas.astype({"color": "category", "member": "boolean"}),
        records,
        [{**r, "since": r["since"].isoformat()} for r in records],
        frame.to_dict(as_series=False),
        [list(r.values()) for r in records],
        np.array([list(r.values()) for r in records], dtype=object),
    ):
        np.testing.assert_array_equal(preparation.transform(rows), expected)
    np.testing.assert_array_equal(preparation.transform(records[3]), expected[3:4])
    assert preparation.transform([]).shape == (0, expected.shape[1])


def test_tensors_and_arrays_give_the_same() -> None:
    prepared = prepare(Data(source="sklearn:wine"))
    X = np.random.default_rng(0).normal(size=(5, 13))

    for rows in (
        torch.tensor(X),
        X.tolist(),
        pd.DataFrame(X, columns=[c.name for c in prepared.preparation.columns]),
    ):
        np.testing.assert_array_equal(
            prepared.preparation.transform(rows), prepared.preparation.transform(X)
        )


def test_unseen_categories_and_gaps() -> None:
    colors = ["red"] * 20 + ["blue"] * 12 + ["grey", "pink", "black"] * 4
    frame = pl.DataFrame(
        {"c": colors, "g": [None, "u", "v", "u"] * 11, "h": ["u", "v"] * 22, "y": [0, 1] * 22}
    )
    prepared = prepare(Data.frame(frame, "y", prepare=Prepare(max_categories=3)))
    assert prepared.preparation.feature_names == (
        "c=blue",
        "c=red",
        "c (other)",
        "g=u",
        "g=v",
        "g (missing)",
        "h=u",
        "h=v",
    )

    features = prepared.preparation.transform(
        [{"c": "white", "g": "w", "h": "w"}, {"c": None, "g": None, "h": None}]
    )

    assert features.tolist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1, 0, 0]]


def test_codes_are_matched_as_numbers_and_text() -> None:
    frame = pd.DataFrame({"zone": pd.Categorical([3, 1, 2, 3] * 10), "y": [0, 1] * 20})
    preparation = prepare(Data.frame(frame, "y")).preparation

    assert preparation.transform(
        [{"zone": 3}, {"zone": "3"}, {"zone": 3.0}, {"zone": 9}]
    ).tolist() == [[0, 0, 1]] * 3 + [[0, 0, 0]]
    assert not preparation.input_problems([{"zone": 9}])


# -- outputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "classes", "decoded"),
    [
        (np.array(["no", "yes"], dtype=object), ("no", "yes"), ["yes", "no"]),
        (np.array([False, True]), ("False", "True"), [True, False]),
        (np.array([9, 10]), ("9", "10"), [10, 9]),
        (np.array([-1.0, 0.5]), ("-1", "0.5"), [0.5, -1.0]),
    ],
)
def test_classes_come_back_as_they_were(
    y: np.ndarray, classes: tuple[str, ...], decoded: list[Any]
) -> None:
    prepared = prepare(
        Data.arrays(
            np.random.default_rng(0).normal(size=(40, 2)), np.tile(y, 20), task="classification"
        )
    )

    answers = prepared.preparation.decode(torch.tensor([[0.1, 0.2], [3.0, -1.0]]))

    assert prepared.classes == classes
    assert answers.tolist() == decoded
    assert [type(a) for a in answers.tolist()] == [type(d) for d in decoded]
    assert prepared.train.y.tolist() == [
        int(y.tolist().index(v)) for v in np.tile(y, 20)[prepared.train.index].tolist()
    ]


def test_probabilities_are_softmax() -> None:
    preparation = prepare(Data(source="sklearn:iris")).preparation
    logits = torch.tensor([[1.0, 2.0, 3.0], [1000.0, 0.0, -1000.0]], dtype=torch.float64)

    np.testing.assert_allclose(
        preparation.probabilities(logits), torch.softmax(logits, dim=1), atol=1e-12
    )
    with pytest.raises(ValueError, match=r"expected outputs \(rows, 3\), got \(2, 2\)"):
        preparation.probabilities(logits[:, :2])


def test_numbers_come_back_in_their_units() -> None:
    data = Data(source="sklearn:diabetes")
    table, prepared = load_table(data), prepare(data)

    train = table.y[prepared.train.index].astype(float)
    np.testing.assert_allclose(
        prepared.train.y, (train - train.mean()) / train.std(), rtol=1e-5, atol=1e-6
    )
    for outputs in (prepared.test.y, prepared.test.y[:, None]):
        np.testing.assert_allclose(
            prepared.preparation.decode(outputs), table.y[prepared.test.index], rtol=1e-5
        )
    assert prepared.preparation.target_scale == pytest.approx(train.std())
    with pytest.raises(ValueError, match="it has no probabilities"):
        prepared.preparation.probabilities(prepared.test.y)


# -- writing and reading ---------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["frame", "digits", "pictures"])
def test_a_preparation_goes_through_json(frame: pl.DataFrame, source: str) -> None:
    data = {
        "frame": lambda: Data.frame(
            frame, "label", prepare=Prepare(max_categories=3, missing_indicator=True)
        ),
        "digits": lambda: Data(source="sklearn:digits", shape=(1, 8, 8)),
        "pictures": lambda: Data.arrays(
            np.random.default_rng(0).random((40, 2, 3, 3)), np.arange(40) % 2
        ),
    }[source]()
    table, preparation = load_table(data), prepare(data).preparation

    again = Preparation.from_dict(json.loads(json.dumps(preparation.to_dict(), allow_nan=False)))

    assert again == preparation
    np.testing.assert_array_equal(again.transform(table.X), preparation.transform(table.X))


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"format": 99}, "has format 99, this winnow reads up to 4: install a newer"),
        ({}, "not a preparation: KeyError"),
        ([], "not a preparation"),
        (
            {
                "format": 1,
                "columns": [{"block": False, "nme": 1}],
                "target": {"classes": []},
                "shape": [],
            },
            "not a preparation: TypeError",
        ),
    ],
)
def test_what_is_no_preparation_is_refused(plain: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preparation.from_dict(plain)


def test_the_schema_describes_the_training_rows(frame: pl.DataFrame) -> None:
    prepared = prepare(Data.frame(frame, "label"))
    schema = {item["name"]: item for item in prepared.preparation.schema}
    train = frame[prepared.train.index]

    assert schema["age"]["minimum"] == train["age"].min()
    assert schema["age"]["typical"] == train["age"].median()
    assert schema["rooms"]["whole"] is True
    assert schema["color"]["categories"] == ["blue", "green", "grey", "red"]
    assert schema["color"]["typical"] == "red"
    assert schema["color"]["gaps"] == train["color"].null_count()
    assert schema["member"]["typical"] is True
    assert schema["since"]["minimum"] == str(train["since"].min())
    assert json.loads(json.dumps(prepared.preparation.schema)) == prepared.preparation.schema
    examples = {name: item["example"] for name, item in schema.items()}
    typical = {name: item["typical"] for name, item in schema.items()}
    assert prepared.preparation.input_problems([examples, typical]) == []


def test_rows_that_do_not_fit_raise(frame: pl.DataFrame) -> None:
    preparation = prepare(Data.frame(frame, "label")).preparation

    with pytest.raises(InputError, match=r"color: missing; found 'colors'"):
        preparation.transform(frame.rename({"color": "colors"}))
