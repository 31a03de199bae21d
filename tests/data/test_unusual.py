"""Values unlike any in the training rows: found by the slow look at every value."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.data import Preparation, prepare
from winnow.recipe import Data

DAY = np.datetime64("2024-01-01")
ROWS = 60


def fitted() -> Preparation:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "age": rng.integers(17, 90, ROWS).astype(float),
            "town": np.array(["Rome", "Oslo", "Bern"])[np.arange(ROWS) % 3],
            "joined": DAY + np.arange(ROWS).astype("timedelta64[D]"),
            "member": np.arange(ROWS) % 2 == 0,
            "y": np.arange(ROWS) % 2,
        }
    )
    return prepare(Data.frame(frame, "y", task="classification")).preparation


PREPARATION = fitted()
AGE, TOWN, JOINED, MEMBER = PREPARATION.columns
ORDINARY = {"age": 40.0, "town": "Rome", "joined": "2024-01-20", "member": True}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(-1e6, 1e6),
            st.sampled_from(["Rome", "Oslo", "Paris", "", "rome"]),
            st.integers(-400, 400),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_value_outside_and_no_other_is_found(values: list[tuple[float, str, int]]) -> None:
    rows = [
        {"age": a, "town": t, "joined": str(DAY + np.timedelta64(d, "D")), "member": True}
        for a, t, d in values
    ]

    _, found = PREPARATION.examine(rows)

    first, last = str(JOINED.schema()["minimum"]), str(JOINED.schema()["maximum"])
    for row, unusual in zip(rows, found, strict=True):
        expected = []
        if row["age"] < AGE.minimum or row["age"] > AGE.maximum:
            expected.append("age")
        if row["town"] not in ("Rome", "Oslo", "Bern"):
            expected.append("town")
        if row["joined"] < first or row["joined"] > last:
            expected.append("joined")
        assert [u.field for u in unusual] == expected


def test_features_are_those_of_transform() -> None:
    rows = [ORDINARY, {**ORDINARY, "age": 3000.0}]

    features, found = PREPARATION.examine(rows)

    np.testing.assert_array_equal(features, PREPARATION.transform(rows))
    assert found[0] == []
    assert [tuple(u) for u in found[1]] == [
        (
            "age",
            f"3000 lies above {AGE.minimum:g} to {AGE.maximum:g}, the range of the training rows",
        )
    ]


def test_a_gap_where_training_had_none_is_unusual() -> None:
    _, (found,) = PREPARATION.examine([{**ORDINARY, "age": None, "town": None}])

    assert [u.field for u in found] == ["age", "town"]
    assert all(u.message == "missing, and no training row lacked it" for u in found)


def test_a_date_beyond_the_calendar_is_told() -> None:
    _, (found,) = PREPARATION.examine([{**ORDINARY, "joined": 1e12}])

    assert found[0].message.startswith(
        f"1e+12 days after 1970 lies above {JOINED.schema()['minimum']}"
    )


def test_rows_that_are_arrays_tell_how_many_values() -> None:
    X = np.random.default_rng(0).random((30, 1, 4, 4))
    preparation = prepare(Data.arrays(X, np.arange(30) % 2)).preparation
    strange = X[:3].copy()
    strange[1, 0, 0, :2] = 7.0

    _, found = preparation.examine(strange)

    block = preparation.columns[0]
    counts = [int(((row < block.minimum) | (row > block.maximum)).sum()) for row in strange]
    assert counts[1] >= 2
    assert [int(u[0].message.split()[0]) if u else 0 for u in found] == counts
