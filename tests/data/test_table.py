"""From a source to a raw table: columns, target, gaps, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from winnow.data import load_table
from winnow.data._arrays import feature_array
from winnow.data._frames import to_polars
from winnow.errors import DataError
from winnow.recipe import Data

X, Y = np.arange(60.0).reshape(20, 3), np.arange(20) % 2


def frame_of(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"a": np.arange(20.0), **columns, "y": [0, 1] * 10})


# -- arrays ----------------------------------------------------------------------------------------


def changed(value: float, *place: int) -> np.ndarray:
    out = X.copy()
    out[place] = value
    return out


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (changed(np.nan, 4, 1), Y, r"1 NaN value in X, the first at X\[4, 1\].*give a frame"),
        (changed(-np.inf, 2, 0), Y, r"1 infinite value in X, the first at X\[2, 0\]"),
        (changed(1e300, 2, 0), Y, r"X holds values beyond ±3\.4e\+38"),
        (X[:, 0], Y, r"expected X as \(rows, features\).*got shape \(20,\)"),
        (X[:, :0], Y, r"X is empty: its shape is \(20, 0\)"),
        (X.astype(str), Y, r"expected X of numbers, got <U"),
        (X.astype(complex), Y, r"expected X of numbers, got complex128"),
        (X, Y[:-1], r"X has 20 rows but y has 19"),
        (
            X,
            np.stack([Y, Y], 1),
            r"expected y as \(rows,\), one target for each row, got shape \(20, 2\)",
        ),
        (X, np.where(Y, 1.5, np.nan), r"10 missing or infinite values in y, the first at y\[0\]"),
        (
            X,
            np.array(["a", None] * 10, dtype=object),
            r"10 missing or infinite values in y, the first at y\[1\]",
        ),
        (
            X,
            np.array(["a", 1] * 10, dtype=object),
            r"expected a target of numbers or text or booleans, got int, str",
        ),
        (
            X,
            np.zeros(20, dtype="datetime64[s]"),
            r"expected a target of numbers, text or booleans, got datetime64",
        ),
        ([[1, 2], [3]] * 10, Y, r"X is ragged"),
        (X[:9], Y[:9], r"expected at least 10 rows with a target, arrays from Python has 9"),
    ],
)
def test_arrays_that_are_refused(x: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_table(Data.arrays(x, y))


def test_sparse_matrices_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"X is a sparse matrix: give X\.toarray\(\)"):
        feature_array(scipy.sparse.csr_array(X))


def test_a_column_of_targets_is_flat() -> None:
    assert load_table(Data.arrays(X, Y[:, None])).y.tolist() == Y.tolist()


def test_named_columns_of_arrays_can_be_dropped() -> None:
    table = load_table(Data(source="sklearn:iris", drop=("petal length (cm)",)))

    assert table.shape == (3,)
    assert "petal length (cm)" not in table.names
    with pytest.raises(
        DataError,
        match=r"data\.drop: no column 'petal lenght \(cm\)' - did you mean 'petal length \(cm\)'",
    ):
        load_table(Data(source="sklearn:iris", drop=("petal lenght (cm)",)))
    with pytest.raises(DataError, match=r"data\.drop: arrays from Python has no columns"):
        load_table(Data.arrays(X.reshape(20, 3, 1), Y, drop=("x0",)))


def test_arrays_bring_their_target() -> None:
    with pytest.raises(
        DataError,
        match=r"data\.target: sklearn:iris brings its target along: leave it out, got 'species'",
    ):
        load_table(Data(source="sklearn:iris", target="species"))


# -- frames ----------------------------------------------------------------------------------------


def test_gaps_of_pandas_and_polars_are_one() -> None:
    a = [1.0, None, 3.0, 4.0] * 5
    pandas = pd.DataFrame(
        {
            "numpy": a,
            "masked": pd.array([1, None, 3, 4] * 5, dtype="Int64"),
            "text": ["u", None, "v", "u"] * 5,
            "object": pd.Series(["u", np.nan, "v", "u"] * 5, dtype=object),
            "flag": pd.array([True, None, False, True] * 5, dtype="boolean"),
            "kind": pd.Categorical(["u", None, "v", "u"] * 5),
            "day": pd.to_datetime(["2020-01-02", None, "2021-01-01", "2020-01-01"] * 5),
            "abroad": pd.to_datetime(
                ["2020-01-02", None, "2021-01-01", "2020-01-01"] * 5
            ).tz_localize("Europe/Paris"),
            "y": [0, 1] * 10,
        }
    )

    table = load_table(Data.frame(pandas, "y"))

    assert isinstance(table.X, pl.DataFrame)
    found = table.X.row(0), table.X.row(1)
    day = 18263.0
    assert found[0] == (1.0, 1.0, "u", "u", True, "u", day, pytest.approx(day - 1 / 24))
    assert found[1] == (None,) * 8
    assert table.formats == {"day": "date", "abroad": "date"}


def test_codes_of_categories_are_categories() -> None:
    pandas = pd.DataFrame(
        {"zone": pd.Categorical([3, 1, 2, 3] * 5), "y": pd.Categorical([7, 8] * 10)}
    )

    table = load_table(Data.frame(pandas, "y"))

    assert isinstance(table.X, pl.DataFrame)
    assert table.X["zone"].to_list()[:3] == ["3", "1", "2"]
    assert table.formats == {"zone": "code"}
    assert table.y.tolist()[:2] == [7, 8]


def test_times_become_numbers() -> None:
    span = pl.Series(range(20), dtype=pl.Duration("ms"))
    at = pl.Series([dt.time(0, 0, i) for i in range(20)])

    table = load_table(Data.frame(frame_of(span=span, at=at), "y"))

    assert isinstance(table.X, pl.DataFrame)
    assert table.X["span"].to_list()[:3] == [0.0, 0.001, 0.002]
    assert table.X["at"].to_list()[:3] == [0.0, 1.0, 2.0]
    assert {
        "column 'span': durations were turned into seconds",
        "column 'at': times were turned into seconds",
    } <= set(table.notes)


def test_values_of_several_types_are_text() -> None:
    table = load_table(
        Data.frame(pd.DataFrame({"m": [1, "x", None, 2.5] * 5, "y": [0, 1] * 10}), "y")
    )

    assert isinstance(table.X, pl.DataFrame)
    assert table.X["m"].to_list()[:4] == ["1", "x", None, "2.5"]
    assert "column 'm': values of several types, all taken as text" in table.notes


def test_rows_without_a_target_are_left_out() -> None:
    table = load_table(Data.frame(pl.DataFrame({"a": range(20), "y": [None, 0, 1, 1] * 5}), "y"))

    assert len(table) == 15
    assert table.rows.tolist() == [i for i in range(20) if i % 4]
    assert table.notes[0] == "5 rows without a target were left out"


@pytest.mark.parametrize(
    ("frame", "settings", "message"),
    [
        (frame_of(), {"target": "z"}, r"data\.target: no column 'z' - known: a, y"),
        (
            frame_of(outcome=range(20)),
            {"target": "outcom"},
            r"data\.target: no column 'outcom' - did you mean 'outcome'",
        ),
        (
            frame_of(height=range(20)),
            {"drop": ("heigth",)},
            r"data\.drop: no column 'heigth' - did you mean 'height'",
        ),
        (frame_of(), {"drop": ("a",)}, r"no columns are left"),
        (
            frame_of(b=[1.0, np.inf] * 10),
            {},
            r"column 'b' holds infinite values \(10 rows, the first is row 1\)",
        ),
        (frame_of(b=[1.0, 1e200] * 10), {}, r"column 'b' holds values beyond"),
        (frame_of(b=[[1], [2]] * 10), {}, r"column 'b' holds List\(Int64\).*data\.drop"),
        (
            frame_of(when=pl.Series([0] * 20, dtype=pl.Date)),
            {"target": "when"},
            r"'when' holds Date: expected numbers, text or booleans",
        ),
        (frame_of(z=[None] * 20), {"target": "z"}, r"'z' has no values"),
        (frame_of(z=["yes"] * 20), {"target": "z"}, r"'z' has only one class, 'yes'"),
        (
            frame_of(z=[2.5] * 20),
            {"target": "z", "task": "regression"},
            r"'z' has only one value, '2.5'",
        ),
        (frame_of(z=[1.0, np.inf] * 10), {"target": "z"}, r"'z' holds 10 infinite values"),
        (
            frame_of(z=["u", "v"] * 10),
            {"target": "z", "task": "regression"},
            r"regression needs a target of numbers, 'z' holds text",
        ),
        (
            frame_of(z=[True, False] * 10),
            {"target": "z", "task": "regression"},
            r"'z' holds booleans",
        ),
    ],
)
def test_frames_that_are_refused(
    frame: pl.DataFrame, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_table(Data.frame(frame, **{"target": "y", **settings}))


def test_a_frame_needs_a_target() -> None:
    with pytest.raises(
        DataError,
        match=r"data\.target: expected the name of the column to predict, got none - columns of "
        r".*: a, y",
    ):
        load_table(Data(source=frame_of()))


def test_two_columns_of_one_name() -> None:
    frame = pd.DataFrame([[1, 2, 0], [3, 4, 1]] * 10, columns=["a", "a", "y"])

    with pytest.raises(DataError, match="expected one column for each name, found 'a' 2 times"):
        to_polars(frame)


# -- task ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "task", "note"),
    [
        (["u", "v"] * 50, "classification", "holds text: taken as 2 classes"),
        ([True, False] * 50, "classification", "holds booleans: taken as 2 classes"),
        ([0, 1, 2, 3] * 25, "classification", "holds 4 different whole numbers: taken as classes"),
        ([0.0, 1.0] * 50, "classification", "holds 2 different whole numbers: taken as classes"),
        (list(range(20)) * 5, "classification", "20 different whole numbers"),
        (
            list(range(25)) * 4,
            "regression",
            "holds 25 different whole numbers: taken as a quantity",
        ),
        (
            list(range(10)) * 2,
            "regression",
            "holds 10 different whole numbers: taken as a quantity",
        ),
        ([0.5, 1.5] * 50, "regression", "holds 2 different numbers: taken as a quantity"),
    ],
)
def test_the_task_is_read_off_the_target(y: list[Any], task: str, note: str) -> None:
    table = load_table(Data.arrays(np.arange(len(y))[:, None], np.array(y)))

    assert table.task == task
    assert note in table.notes[-1]


def test_the_task_asked_for_is_taken() -> None:
    table = load_table(Data.arrays(X, Y, task="regression"))

    assert table.task == "regression"
    assert table.notes == ()
