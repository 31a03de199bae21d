"""Files of rows to predict are read by what their columns were in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from winnow.data import prepare, read_rows
from winnow.errors import DataError, InputError
from winnow.recipe import Data


def test_a_file_gives_the_features_of_training(csv: Path, frame: pl.DataFrame) -> None:
    prepared = prepare(Data(source=str(csv), target="label"))
    frame.drop("label").write_parquet(csv.with_suffix(".parquet"))

    for path in (csv, csv.with_suffix(".parquet")):
        features = prepared.preparation.transform(read_rows(path, prepared.preparation))
        np.testing.assert_array_equal(features[prepared.test.index], prepared.test.X)


def test_columns_are_what_they_were_in_training(tmp_path: Path) -> None:
    train, new = tmp_path / "train.csv", tmp_path / "new.csv"
    train.write_text(
        "zip,n,flag,day,y\n"
        + "0123,1.5,true,2024-01-01,u\nA1,?,false,2024-01-02,v\n77,3,true,,u\n99,4,,2024-02-01,v\n"
        * 10
    )
    new.write_text("y;flag;n;zip;day\n;0;-;77;2024-01-02\n;TRUE;7;0123;2024/01/01\n")
    preparation = prepare(Data(source=str(train), target="y")).preparation

    rows = read_rows(new, preparation)

    assert rows["zip"].to_list() == ["77", "0123"]
    assert rows["n"].to_list() == [None, 7.0]
    assert rows["flag"].to_list() == [False, True]
    expected = preparation.transform(
        [
            {"zip": "77", "n": None, "flag": False, "day": "2024-01-02"},
            {"zip": "0123", "n": 7, "flag": True, "day": "2024-01-01"},
        ]
    )
    by_columns = preparation.transform(
        rows.with_columns(day=pl.Series(["2024-01-02", "2024-01-01"]).str.to_date())
    )
    np.testing.assert_array_equal(by_columns, expected)


def test_values_that_do_not_fit_are_named(csv: Path) -> None:
    preparation = prepare(Data(source=str(csv), target="label")).preparation
    text = csv.read_text().splitlines()
    text[3] = "old,2,red,maybe,2020-05-05,c01,yes"
    text[5] = "33,2,red,true,5 May,c01,yes"
    csv.write_text("\n".join(text))

    with pytest.raises(
        InputError,
        match=r"^rows\[2\]\.age: expected a number, got 'old' \(line 4\); "
        r"rows\[2\]\.member: expected true or false, got 'maybe' \(line 4\); "
        r"rows\[4\]\.since: expected a date such as 2024-05-31, got '5 May' \(line 6\)$",
    ):
        read_rows(csv, preparation)


def test_files_that_are_none(tmp_path: Path) -> None:
    preparation = prepare(Data(source="sklearn:iris")).preparation
    (tmp_path / "rows.txt").write_text("a\n1\n")

    with pytest.raises(DataError, match="no file"):
        read_rows(tmp_path / "rows.csv", preparation)
    with pytest.raises(DataError, match=r"expected a \.csv, \.tsv or \.parquet file of rows"):
        read_rows(tmp_path / "rows.txt", preparation)
