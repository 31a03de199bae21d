"""Rows at the door of a fitted preparation: every mistake is found and named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from winnow.data import Preparation, prepare
from winnow.errors import InputError
from winnow.recipe import Data


@pytest.fixture
def preparation(frame: pl.DataFrame) -> Preparation:
    return prepare(Data.frame(frame, "label", drop=("city",))).preparation


GOOD: dict[str, Any] = {
    "age": 41.5,
    "rooms": 3,
    "color": "red",
    "member": True,
    "since": "2021-05-06",
}


def said(preparation: Preparation, rows: Any, **options: Any) -> list[str]:
    return [str(problem) for problem in preparation.input_problems(rows, **options)]


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        dict.fromkeys(GOOD, None),
        {**GOOD, "color": "violet"},
        {**GOOD, "member": 0},
        {**GOOD, "since": "2021-05-06T10:00:00+02:00"},
        {**GOOD, "since": 18000},
        {**GOOD, "age": np.float32(2.5), "rooms": np.int8(2), "member": np.bool_(False)},
    ],
)
def test_rows_that_fit(preparation: Preparation, row: dict[str, Any]) -> None:
    assert said(preparation, [GOOD, row]) == []
    assert np.isfinite(preparation.transform([row])).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "41"}, "rows[1].age: expected a number, got '41'"),
        ({"age": True}, "rows[1].age: expected a number, got True"),
        ({"age": [1]}, "rows[1].age: expected a number, got [1]"),
        ({"age": math.inf}, "rows[1].age: expected a finite number, got inf"),
        ({"age": -math.inf}, "rows[1].age: expected a finite number, got -inf"),
        ({"age": math.nan}, "rows[1].age: expected a number, got nan"),
        ({"age": 1e300}, "rows[1].age: expected a number within ±3.4e+38, got 1e+300"),
        (
            {"age": 10**400},
            "rows[1].age: expected a number, got 1000000000000000000000000000000000000...",
        ),
        ({"color": 5}, "rows[1].color: expected text, got 5"),
        ({"color": {"a": 1}}, "rows[1].color: expected text, got {'a': 1}"),
        ({"color": math.nan}, "rows[1].color: expected text, got nan"),
        ({"member": "yes"}, "rows[1].member: expected true or false, got 'yes'"),
        ({"member": 2}, "rows[1].member: expected true or false, got 2"),
        ({"since": "May"}, "rows[1].since: expected a date such as 2024-05-31, got 'May'"),
        ({"since": False}, "rows[1].since: expected a date such as 2024-05-31, got False"),
        ({"colr": "red"}, "rows[1].colr: no such field - did you mean 'color'?"),
        ({"zzz": "red"}, "rows[1].zzz: no such field - known: age, rooms, color, member, since"),
    ],
)
def test_values_that_do_not_fit(
    preparation: Preparation, change: dict[str, Any], message: str
) -> None:
    assert said(preparation, [GOOD, {**GOOD, **change}]) == [message]


def test_missing_fields_and_other_things(preparation: Preparation) -> None:
    row = {k: v for k, v in GOOD.items() if k != "age"}

    assert said(preparation, [row]) == ["rows[0].age: missing"]
    assert said(preparation, [{**row, "aeg": 3}]) == [
        "rows[0].age: missing; found 'aeg'",
        "rows[0].aeg: no such field - did you mean 'age'?",
    ]
    assert said(preparation, [GOOD, 3]) == ["rows[1]: expected a record of 5 fields, got int"]
    assert said(preparation, "age") == [
        "rows: expected a frame, a list of records or an array, got str"
    ]
    assert said(preparation, None) == [
        "rows: expected a frame, a list of records or an array, got NoneType"
    ]
    assert said(preparation, {"age": [1, 2], "rooms": [1]}) == [
        "rows: expected columns of one length, got {'age': 2, 'rooms': 1}"
    ]
    assert said(preparation, np.ones((2, 4))) == [
        "rows: expected 5 values a row, (rows, 5), got shape (2, 4)"
    ]
    assert said(preparation, [[1, 2], [1]]) == ["rows: expected rows of one length"]


def test_every_mistake_is_found_at_once(preparation: Preparation) -> None:
    bad = {**GOOD, "age": "x", "member": "y", "color": 1.5}

    with pytest.raises(
        InputError, match=r"rows\[0\]\.age.*rows\[2\]\.age.*rows\[0\]\.member.*rows\[0\]\.color"
    ) as caught:
        preparation.transform([bad, GOOD, bad])

    assert len(caught.value.problems) == 6


def test_a_flood_of_mistakes_is_cut_off(preparation: Preparation) -> None:
    assert len(said(preparation, [{**GOOD, "age": "x"}] * 5000)) == 100


def test_lenient_rows_are_as_in_files(preparation: Preparation) -> None:
    row = {**GOOD, "age": math.nan, "color": math.nan, "label": "yes"}

    assert said(preparation, [row], lenient=True) == []
    np.testing.assert_array_equal(
        preparation.transform([row]), preparation.transform([{**GOOD, "age": None, "color": None}])
    )
    assert said(preparation, [{**row, "age": math.inf}], lenient=True) == [
        "rows[0].age: expected a finite number, got inf"
    ]


def test_frames_with_columns_of_another_type(preparation: Preparation) -> None:
    good = pd.DataFrame([GOOD] * 2)

    assert said(preparation, good) == []
    assert (
        said(preparation, good.assign(age=["1", "x"]))[0]
        == "rows[0].age: expected a number, got '1'"
    )
    assert (
        said(preparation, good.assign(age=[True, False]))[0]
        == "rows[0].age: expected a number, got True"
    )
    assert (
        said(preparation, good.assign(color=[1.5, 2.5]))[0]
        == "rows[0].color: expected text, got 1.5"
    )
    assert said(preparation, good.drop(columns="age")) == ["age: missing"]
    assert said(preparation, pl.DataFrame([GOOD]).with_columns(age=pl.lit([1]))) == [
        "rows: column 'age' holds List(Int64): expected numbers, text, booleans or dates; "
        "name it in data.drop, or turn it into columns of those"
    ] or said(preparation, pl.DataFrame([GOOD]).with_columns(age=pl.Series([[1]])))[0].startswith(
        "rows: column 'age' holds List"
    )


def test_arrays_had_no_gaps_so_rows_have_none() -> None:
    preparation = prepare(Data(source="sklearn:iris")).preparation
    row = {item["name"]: item["example"] for item in preparation.schema}
    name = "sepal width (cm)"

    assert said(preparation, [row]) == []
    assert said(preparation, [{**row, name: None}]) == [
        f"rows[0].{name}: expected a number, got none: the training rows had no gaps"
    ]
    with pytest.raises(
        InputError,
        match=r"rows\[0\]\.sepal length \(cm\): expected a number, got nan: the training rows "
        r"had no",
    ):
        preparation.transform(np.array([[np.nan, 1, 1, 1]]))
    with pytest.raises(InputError, match="expected a finite number, got inf"):
        preparation.transform(np.array([[np.inf, 1, 1, 1]]))


def test_rows_that_are_arrays() -> None:
    X = np.random.default_rng(0).random((40, 2, 3, 3))
    preparation = prepare(Data.arrays(X, np.arange(40) % 2)).preparation
    row = X[0].tolist()

    assert said(preparation, [{"x": row}]) == []
    assert said(preparation, {"x": X}) == []
    assert said(preparation, X) == []
    assert said(preparation, [{"x": row}, {"y": row}]) == [
        "rows[1].x: expected a record with the one field 'x', got ['y']"
    ]
    assert said(preparation, X[:, :1]) == ["x: expected rows of shape (2, 3, 3), got (1, 3, 3)"]
    assert said(preparation, [{"x": "picture"}]) == [
        "rows[0].x: expected numbers of shape (2, 3, 3), got 'picture'"
    ]
    assert said(preparation, [{"x": row}, {"x": [[1], [2, 3]]}]) == [
        "rows[1].x: expected rows of numbers, each of shape (2, 3, 3)"
    ]
    X[1, 0, 2, 1] = np.nan
    assert said(preparation, X) == ["rows[1].x: expected finite numbers, got nan at [0, 2, 1]"]
    with pytest.raises(InputError, match="expected finite numbers"):
        preparation.transform(X)
