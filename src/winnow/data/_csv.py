"""CSV files: read as text, then a type for each column from what all its values say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from winnow.errors import DataError

__all__ = ["STRAYS", "blank_to_null", "is_stray", "parse_dates", "read_csv", "read_text"]

MARKERS = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "<NA>", "#N/A", "?")  # a gap in any column
STRAYS = (
    "none",
    "-",
    "--",
    ".",
    "na",
    "n.a.",
    "missing",
    "unknown",
    "null",
    "nan",
    "nat",
)  # a gap among numbers and dates, any case
MIN_SHARE = 0.9  # of the values of a text column: from here on what does not fit the rest is worth a note

_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}")
_DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d")
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
)
_SEPARATORS = (",", ";", "\t", "|")


def read_csv(path: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """A frame of whole numbers, numbers, booleans, dates and text, and notes on what was decided on the way.

    Raises:
        DataError: no rows, bytes that are not UTF-8 text, a row with too many fields, a column name that stands twice.
    """
    frame, notes = read_text(path)
    columns = []
    for series in frame.get_columns():
        typed, remarks = _typed(series)
        columns.append(typed)
        notes += remarks
    return pl.DataFrame(columns), tuple(notes)


def read_text(path: Path) -> tuple[pl.DataFrame, list[str]]:
    """All columns as text, stripped of blanks; names too."""
    separator = _separator(path)
    options: dict[str, Any] = {"separator": separator, "infer_schema": False}
    try:
        header = pl.read_csv(path, has_header=False, n_rows=1, **options)
        frame = pl.read_csv(path, **options).fill_null("")
    except pl.exceptions.NoDataError:
        raise DataError(f"data.source: {path} is empty: expected a line of column names and rows below it") from None
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(f"data.source: cannot read {path} as CSV (UTF-8 text, separator {separator!r}): {reason}") from None
    names = [(name or "").strip() for name in header.row(0)]
    notes = [] if separator == "," else [f"fields are separated by {separator!r}"]
    return _named(frame, names, path, notes).select(pl.all().str.strip_chars()), notes


def blank_to_null(series: pl.Series) -> pl.Series:
    """Text with the markers of a gap turned into null."""
    return series.set(series.is_in(list(MARKERS)), None)


def is_stray(series: pl.Series) -> pl.Series:
    """Which values are words for a gap where numbers or dates are expected."""
    return series.str.to_lowercase().is_in(list(STRAYS))


def parse_dates(series: pl.Series) -> pl.Series | None:
    """Text as dates or datetimes (year first), or None when a value is neither."""
    present = series.drop_nulls()
    if present.is_empty() or not _DATE.match(present[0]):
        return None
    for formats, dtype in ((_DATE_FORMATS, pl.Date), (_TIME_FORMATS, pl.Datetime("us"))):
        for pattern in formats:
            dates = series.str.strptime(dtype, pattern, strict=False)
            if dates.null_count() == series.null_count():
                return dates
    return None


def _typed(text: pl.Series) -> tuple[pl.Series, list[str]]:
    name, notes = text.name, []
    series = blank_to_null(text)
    written = sorted(set(text.filter(series.is_null()).unique().to_list()) - {""})
    if written:
        count = int((series.is_null() & (text != "")).sum())
        notes.append(f"column {name!r}: {_quoted(written)} taken as missing in {count} rows")
    if series.null_count() == len(series):
        return series.cast(pl.Null), notes
    numbers, remarks = _numbers(series)
    if numbers is not None:
        return numbers, notes + remarks
    if series.drop_nulls().str.to_lowercase().is_in(["true", "false"]).all():
        return series.str.to_lowercase() == "true", notes
    stray = is_stray(series).fill_null(False)
    dates = parse_dates(series.set(stray, None))
    if dates is None:
        return series, notes + remarks
    return dates, notes + _stray_words(series, stray, "dates")


def _numbers(series: pl.Series) -> tuple[pl.Series | None, list[str]]:
    """The series as numbers when all its values are numbers or words for a gap; None, and why, when they are not."""
    numbers = series.cast(pl.Float64, strict=False)
    misfit = numbers.is_null() & series.is_not_null()
    if misfit.all() or numbers.null_count() == len(series):
        return None, []
    stray, notes = misfit & is_stray(series), []
    if misfit.sum() > stray.sum():
        share = 1 - misfit.sum() / series.count()
        if share < MIN_SHARE:
            return None, []
        row = (misfit & ~stray).arg_max()
        assert row is not None
        what = f"{share:.0%} of the values are numbers, but {series[row]!r} (row {row}) is not"
        return None, [f"column {series.name!r}: {what}: taken as text; leave that value empty to have numbers"]
    if series.str.contains(r"^0\d+$").any():
        return None, [f"column {series.name!r}: numbers with leading zeros: taken as text"]
    notes += _stray_words(series, stray, "numbers")
    whole = series.set(stray, None).cast(pl.Int64, strict=False)
    return (whole if whole.null_count() == numbers.null_count() else numbers), notes


def _stray_words(series: pl.Series, stray: pl.Series, others: str) -> list[str]:
    words = sorted(series.filter(stray).unique().to_list())
    if not words:
        return []
    return [f"column {series.name!r}: {_quoted(words)} taken as missing in {int(stray.sum())} rows, all others are {others}"]


def _named(frame: pl.DataFrame, names: list[str], path: Path, notes: list[str]) -> pl.DataFrame:
    """The frame with the header's names. A column without a name that counts the rows is an index, and left out."""
    if frame.height == 0:
        raise DataError(f"data.source: {path} has column names but no rows")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"data.source: expected one column for each name, {path} has {twice[0]!r} {names.count(twice[0])} times")
    keep = []
    for i, name in enumerate(names):
        if not name:
            numbers = frame.to_series(i).cast(pl.Int64, strict=False)
            if numbers.null_count() == 0 and (numbers.diff().drop_nulls() == 1).all():
                notes.append(f"column {i + 1} has no name and counts the rows: left out")
                continue
            names[i] = f"column_{i + 1}" if f"column_{i + 1}" not in names else f"column_{i + 1} (no name)"
            notes.append(f"column {i + 1} has no name: called {names[i]!r}")
        keep.append(i)
    return pl.DataFrame([frame.to_series(i).alias(names[i]) for i in keep])


def _separator(path: Path) -> str:
    """The separator that occurs most often in the first line; a comma when none does."""
    with path.open("rb") as file:
        line = file.readline(1 << 16).decode("utf-8", errors="replace")
    line = re.sub(r'"[^"]*"', "", line)
    return max(_SEPARATORS, key=lambda s: (line.count(s), -_SEPARATORS.index(s)))


def _quoted(words: list[str]) -> str:
    return " and ".join(repr(word) for word in words)
