"""What would make scores look better than they are is told, and only that."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from winnow.data import prepare
from winnow.recipe import Data, Split

ROWS = 300


def told(frame: pl.DataFrame, word: str, **settings: object) -> list[str]:
    return [note for note in prepare(Data.frame(frame, "y", **settings)).notes if word in note]


def noise(seed: int = 0) -> tuple[np.random.Generator, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    return rng, pl.DataFrame({"a": rng.normal(size=ROWS), "b": rng.choice(["u", "v", "w"], ROWS)})


@pytest.mark.parametrize(
    "leak",
    [
        lambda y, rng: (y == "yes") * 1.0,
        lambda y, rng: np.where(y == "yes", 5.0, -5.0) + rng.uniform(-4, 4, ROWS),
        lambda y, rng: [f"{v} please" for v in y],
        lambda y, rng: [None if v == "yes" else 3.0 + i for i, v in enumerate(y)],
        lambda y, rng: np.where(y == "yes", rng.choice([-9.0, 9.0], ROWS), rng.normal(size=ROWS)),
    ],
    ids=["copy", "threshold", "text", "gaps", "outside"],
)
def test_a_column_that_alone_predicts_the_classes(leak: object) -> None:
    rng, frame = noise()
    y = np.where(frame["a"].to_numpy() + rng.normal(size=ROWS) > 1.2, "yes", "no")

    notes = told(frame.with_columns(y=pl.Series(y), late=pl.Series(leak(y, rng))), "alone predicts")  # type: ignore[operator]

    assert len(notes) == 1
    assert notes[0].startswith("column 'late' alone predicts the target 'y'")


def test_a_good_column_is_no_leak() -> None:
    rng, frame = noise()
    y = np.where(frame["a"].to_numpy() + 0.1 * rng.normal(size=ROWS) > 0, "yes", "no")

    assert told(frame.with_columns(y=pl.Series(y)), "alone predicts") == []


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
def test_tables_without_a_leak_have_no_warning(name: str) -> None:
    notes = prepare(Data(source=f"sklearn:{name}")).notes

    assert not [note for note in notes if "alone predicts" in note or "same order" in note]


def test_a_rare_class_alone_is_no_leak() -> None:
    rng, frame = noise()
    y = np.array(["no"] * (ROWS - 15) + ["yes"] * 15)

    assert told(frame.with_columns(y=pl.Series(rng.permutation(y))), "alone predicts") == []


def test_names_that_differ_in_each_row_are_no_leak() -> None:
    rng, frame = noise()
    y = rng.choice(["yes", "no"], ROWS)
    names = [f"n{i // 2}" for i in range(ROWS)]

    assert (
        told(
            frame.with_columns(y=pl.Series(y), name=pl.Series(rng.permutation(names))),
            "alone predicts",
        )
        == []
    )


@pytest.mark.parametrize("leak", [lambda y: 100 * y + 3, lambda y: -np.exp(y)])
def test_a_column_that_follows_a_quantity(leak: object) -> None:
    rng, frame = noise()
    y = rng.normal(size=ROWS)

    notes = told(frame.with_columns(y=pl.Series(y), late=pl.Series(leak(y))), "same order")  # type: ignore[operator]

    assert [note.split(" puts")[0] for note in notes] == ["column 'late'"]


def test_rows_in_several_parts_are_counted() -> None:
    rng, frame = noise()
    frame = frame.with_columns(y=rng.normal(size=ROWS)).with_row_index("row")
    twice = pl.concat([frame, frame[:50]])
    prepared = prepare(Data.frame(twice.drop("row"), "y"))
    row = twice["row"].to_numpy()
    count = {
        p: int(np.isin(row[getattr(prepared, p).index], row[prepared.train.index]).sum())
        for p in ("validation", "test")
    }

    (note,) = (n for n in prepared.notes if "also among the training rows" in n)

    assert note.startswith(
        f"{count['validation']} of 70 validation rows and {count['test']} of 70 test rows are "
        f"also among"
    )
    assert told(frame.drop("row"), "also among") == []


def test_equal_rows_with_other_targets_are_no_repetitions() -> None:
    frame = pl.DataFrame({"a": [1.0, 2.0] * 100, "y": np.linspace(0, 1, 200)})

    assert told(frame, "also among") == []


def test_arrays_are_compared_too() -> None:
    X = np.repeat(np.random.default_rng(0).normal(size=(50, 3, 4)), 4, axis=0)
    prepared = prepare(Data.arrays(X, np.repeat(np.arange(50.0), 4)))

    assert any("also among the training rows" in note for note in prepared.notes)


def test_dates_that_are_divided_at_random() -> None:
    rng, frame = noise()
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(i)) for i in rng.permutation(ROWS)]
    frame = frame.with_columns(y=rng.normal(size=ROWS), day=pl.Series(days))

    assert (
        "`data.split.order_by: day` trains on the oldest rows"
        in told(frame, "divided at random")[0]
    )
    assert told(frame, "divided at random", split=Split(order_by="day")) == []
    assert told(frame, "divided at random", drop=["day"]) == []
