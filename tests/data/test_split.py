"""Train, validation and test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.data import prepare
from winnow.data._split import halves, split_rows
from winnow.errors import DataError
from winnow.recipe import Data, Split


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(30, 400),
    test=st.floats(0.1, 0.4),
    validation=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**31),
)
def test_every_row_is_in_one_part(rows: int, test: float, validation: float, seed: int) -> None:
    split = Split(test=test, validation=validation, seed=seed)

    parts = split_rows(np.linspace(0, 1, rows), split, "regression")

    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    assert len(parts.test) == round(rows * test)
    assert len(parts.validation) == round(rows * validation)


def test_parts_keep_the_shares_of_classes() -> None:
    y = np.repeat(np.array(["a", "b", "c"], dtype=object), [600, 300, 100])

    for rows in split_rows(y, Split(), "classification"):
        shares = np.array([(y[rows] == c).mean() for c in "abc"])
        np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.005)


def test_the_seed_decides() -> None:
    y = np.arange(100) % 2

    first, again, other = (split_rows(y, Split(seed=seed), "classification") for seed in (1, 1, 2))

    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first.test == other.test).all()


@pytest.mark.parametrize(
    ("counts", "split", "message"),
    [
        (
            [50, 2],
            Split(),
            r"at least 3 rows of each class.*too few of '1' \(2\): write `data\.rare_classes: "
            r"merge`",
        ),
        (
            [30] + [1] * 9,
            Split(),
            r"too few of '1' \(1\), '2' \(1\), .* and 4 more: write .*`task: regression`",
        ),
        (
            [10] * 10,
            Split(test=0.05),
            r"data\.split\.test: 0\.05 of 100 rows is 5, fewer than the 10 classes: raise it to "
            r"at least 0\.1",
        ),
        (
            [96, 4],
            Split(test=0.05, validation=0.2),
            r"the test part has no rows of class '1' \(train 3, validation 1, test 0\): raise "
            r"data\.split\.test",
        ),
        (
            [300, 3],
            Split(stratify=False, seed=1),
            r"has no rows of class '1' \(.*\): set data\.split\.stratify: true",
        ),
    ],
)
def test_parts_without_some_class_are_refused(
    counts: list[int], split: Split, message: str
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)

    with pytest.raises(DataError, match=message):
        split_rows(y, split, "classification")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            Split(test=0.01),
            r"data\.split\.test: 0\.01 of 50 rows is 0: expected at least 2; raise it to 0\.04",
        ),
        (Split(validation=0.01), r"data\.split\.validation: 0\.01 of 50 rows is 0"),
        (
            Split(test=0.5, validation=0.49),
            r"test \+ validation take 49 of 50 rows: too few are left",
        ),
    ],
)
def test_parts_without_rows_are_refused(split: Split, message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_rows(np.linspace(0, 1, 50) * 1.0, split, "regression")


def test_an_order_divides_by_time() -> None:
    rng = np.random.default_rng(0)
    day = rng.permutation(100).astype(float)

    parts = split_rows(
        np.linspace(0, 1, 100), Split(order_by="day", test=0.2, validation=0.3), "regression", day
    )

    assert [sorted(day[rows].tolist()) for rows in parts] == [
        list(range(50)),
        list(range(50, 80)),
        list(range(80, 100)),
    ]
    for rows in parts:
        assert (np.diff(rows) > 0).all()


def test_equal_places_in_the_order_stay_as_they_stand() -> None:
    parts = split_rows(np.linspace(0, 1, 10), Split(order_by="day"), "regression", np.zeros(10))

    assert [rows.tolist() for rows in parts] == [[0, 1, 2, 3, 4, 5], [6, 7], [8, 9]]


def test_an_order_that_leaves_a_part_without_a_class_is_refused() -> None:
    y = np.repeat(np.array(["a", "b"], dtype=object), [80, 20])

    with pytest.raises(
        DataError,
        match=r"the train part has no rows of class 'b' .*: by the order of 'day': change the "
        r"shares, or",
    ):
        split_rows(y, Split(order_by="day"), "classification", np.arange(100.0))


def test_a_dropped_column_still_puts_the_rows_in_order(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    days = np.random.default_rng(0).permutation(28) + 1
    path.write_text(
        "day,x,y\n" + "".join(f"{d:02d}/02/2024,{i % 5},{i * 0.5}\n" for i, d in enumerate(days))
    )

    prepared = prepare(
        Data(source=str(path), target="y", drop=["day"], split=Split(order_by="day"))
    )

    assert max(days[prepared.train.index]) < min(days[prepared.validation.index])
    assert max(days[prepared.validation.index]) < min(days[prepared.test.index])
    assert [column.name for column in prepared.preparation.columns] == ["x"]


def test_an_order_needs_a_value_in_every_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("day,x,y\n" + "2024-02-01,1,0.5\n,2,1.5\n" * 10)

    with pytest.raises(
        DataError,
        match=r"data.split.order_by: column 'day' of .* has no value in 10 rows, the first is "
        r"row 1",
    ):
        prepare(Data(source=str(path), target="y", split=Split(order_by="day")))
    with pytest.raises(
        DataError, match=r"data.split.order_by: no column 'dya' - did you mean 'day'"
    ):
        prepare(Data(source=str(path), target="y", split=Split(order_by="dya")))


# -- halves of the validation rows -----------------------------------------------------------------


@pytest.mark.parametrize("rows", [10, 11, 57, 1000])
def test_halves_have_each_class_as_evenly_as_possible(rows: int) -> None:
    y = np.random.default_rng(rows).choice(5, size=rows, p=[0.5, 0.3, 0.1, 0.06, 0.04])

    half = halves(rows, seed=3, y=y)

    assert half is not None
    assert set(half) == {0, 1}
    assert abs(int((half == 0).sum()) - int((half == 1).sum())) <= 1
    for c in np.unique(y):
        assert abs(int((half[y == c] == 0).sum()) - int((half[y == c] == 1).sum())) <= 1


def test_the_splits_seed_decides_the_halves() -> None:
    y = np.arange(100) % 3

    first, again, other = (halves(100, seed, y) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(halves(100, 1), halves(100, 2))


def test_every_row_is_in_either_half_as_often() -> None:
    """And two rows of a class in the same one nearly as often as not: the cut does not go by
    the order of the rows.
    """
    y = np.array([0] * 12 + [1] * 3)
    drawn = np.stack([halves(15, seed, y) for seed in range(3000)])

    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.04)
    together = (drawn[:, :1] == drawn[:, 1:12]).mean(axis=0)
    np.testing.assert_allclose(together, 5 / 11, atol=0.04)


def test_few_rows_are_not_halved() -> None:
    assert halves(9, 0) is None
    assert halves(10, 0) is not None
