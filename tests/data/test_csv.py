"""CSV files as they are met: markers for gaps, odd separators, stray words, codes, dates."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from winnow.data import load_table
from winnow.data._csv import read_csv
from winnow.errors import DataError
from winnow.recipe import Data


def read(tmp_path: Path, text: str | bytes) -> tuple[pl.DataFrame, tuple[str, ...]]:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    typed = read_csv(path)
    return typed.frame, typed.notes


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        ("1 2 3", pl.Int64, [1, 2, 3]),
        ("1 2.5 1e3", pl.Float64, [1.0, 2.5, 1000.0]),
        ("1 NA 3", pl.Int64, [1, None, 3]),
        ("1 ? 2.5", pl.Float64, [1.0, None, 2.5]),
        ("u NA v", pl.String, ["u", None, "v"]),
        ("None u v", pl.String, ["None", "u", "v"]),
        ("true FALSE True", pl.Boolean, [True, False, True]),
        ("true n/a False", pl.Boolean, [True, None, False]),
        ("yes no yes", pl.String, ["yes", "no", "yes"]),
        ("0123 4567 0000", pl.String, ["0123", "4567", "0000"]),
        ("0 0.5 -0.25", pl.Float64, [0.0, 0.5, -0.25]),
        ("NA null ?", pl.Null, [None, None, None]),
        ("12345678901234567890123 1 2", pl.Float64, [12345678901234567890123.0, 1.0, 2.0]),
    ],
)
def test_a_column_is_what_all_its_values_are(
    tmp_path: Path, cells: str, dtype: type[pl.DataType], values: list[object]
) -> None:
    frame, _ = read(tmp_path, "a,b\n" + "".join(f"{cell},1\n" for cell in cells.split()))

    assert frame["a"].dtype == dtype
    assert frame["a"].to_list() == values


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-05-31", "2024-05-31"),
        ("2024/05/31", "2024-05-31"),
        ("2024-05-31 12:30:00", "2024-05-31 12:30:00"),
        ("2024-05-31T12:30:00.250", "2024-05-31 12:30:00.250000"),
        ("2024-05-31 12:30", "2024-05-31 12:30:00"),
    ],
)
def test_dates(tmp_path: Path, text: str, iso: str) -> None:
    frame, _ = read(tmp_path, f"a,b\n{text},1\nunknown,2\n{text},3\n")

    assert [None if v is None else str(v) for v in frame["a"].to_list()] == [iso, None, iso]


def test_what_was_taken_as_missing_is_told(tmp_path: Path) -> None:
    numbers = "\n".join(map(str, range(30)))
    frame, notes = read(tmp_path, "a\n" + numbers + "\n?\nNA\nunknown\n-\n")

    assert frame["a"].null_count() == 4
    assert notes == (
        "column 'a': '?' and 'NA' taken as missing in 2 rows",
        "column 'a': '-' and 'unknown' taken as missing in 2 rows, all others are numbers",
    )


def test_a_stray_word_among_numbers_is_told(tmp_path: Path) -> None:
    frame, notes = read(tmp_path, "a\n" + "\n".join(map(str, range(30))) + "\n12 kg\n")

    assert frame["a"].dtype == pl.String
    # The preparation says it, since it knows whether the column can be used as text
    assert notes == ()
    doubt = read_csv(tmp_path / "t.csv").doubts["a"]
    assert doubt.why == "96% of the values are numbers, but '12 kg' (line 32) is not"
    assert doubt.fix == "leave that value empty to have numbers"


def test_codes_with_leading_zeros_are_told(tmp_path: Path) -> None:
    assert read(tmp_path, "zip\n01234\n98765\n")[1] == (
        "column 'zip': numbers with leading zeros: taken as text",
    )


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators(tmp_path: Path, separator: str) -> None:
    frame, notes = read(tmp_path, f'"a, b"{separator}c\n1{separator}u\n2{separator}v\n')

    assert frame.to_dict(as_series=False) == {"a, b": [1, 2], "c": ["u", "v"]}
    assert notes == (f"fields are separated by {separator!r}",)


def test_blanks_quotes_and_byte_order_mark(tmp_path: Path) -> None:
    frame, _ = read(tmp_path, b'\xef\xbb\xbfa, b ,c\r\n 1 ,"x, y", NA\r\n2,"say ""hi""",\r\n')

    assert frame.columns == ["a", "b", "c"]
    assert frame["a"].to_list() == [1, 2]
    assert frame["b"].to_list() == ["x, y", 'say "hi"']
    assert frame["c"].to_list() == [None, None]


def test_columns_without_a_name(tmp_path: Path) -> None:
    frame, notes = read(tmp_path, ",a,\n0,5,u\n1,6,v\n2,7,u\n")

    assert frame.columns == ["a", "column_3"]
    assert notes == (
        "column 1 has no name and counts the rows: left out",
        "column 3 has no name: called 'column_3'",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is empty: expected a line of column names"),
        (b"a,b\n", "has column names but no rows"),
        (
            b"a,b\n1,2\n1,2,3\n",
            "cannot read .* as CSV .*: found more fields than names: line 3 has 3 fields, the "
            "first line names 2",
        ),
        (
            b'a,b\n"x\ny",2\n\n1,2,3\n4,5,6\n',
            "line 5 has 3 fields, the first line names 2, and 1 more such lines",
        ),
        (b"a,b\n1,2,3\n4,5,6\n", "every row has more fields than there are names"),
        (
            b'a,b\n1,2\n"x,1\n2,3\n',
            "the record that begins on line 3 opens a quote that is never closed",
        ),
        (b"a,b,a\n1,2,3\n", r"expected one column for each name, .* has 'a' 2 times"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("first", "is_told"),
    [(2**53 + 1, True), (-(2**53) - 1, True), (10**20, True), (2**53 - 100, False), (1e30, False)],
)
def test_whole_numbers_that_floats_do_not_hold_are_told(
    tmp_path: Path, first: float, is_told: bool
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,x,y\n" + "".join(f"{first + i},{i}.5,{'uv'[i % 2]}\n" for i in range(40)))
    written = load_table(Data(source=str(path), target="y"))
    dropped = load_table(Data(source=str(path), target="y", drop=("id",)))

    told = [note for note in written.notes if "whose last digits are lost in float64" in note]
    assert [note.startswith("column 'id': ") for note in told] == [True] * is_told
    assert not is_told or len({int(v) for v in written.X["id"]}) < 40  # float64 is the oracle
    assert not any("column 'id'" in note for note in dropped.notes)


def test_infinity_is_refused_by_its_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n" + "1,u\n2,v\n" * 10 + "inf,u\n")

    with pytest.raises(
        DataError, match=re.escape("column 'a' holds infinite values (1 row, the first is line 22)")
    ):
        load_table(Data(source=str(path), target="y"))
