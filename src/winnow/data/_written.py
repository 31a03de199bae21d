"""Text as the values of a fitted column: read as the text of the training rows was."""

from __future__ import annotations

import polars as pl

from winnow.data._amounts import amounts
from winnow.data._columns import Column, days
from winnow.data._dates import read_dates

__all__ = ["expected", "parse"]


def parse(series: pl.Series, column: Column) -> pl.Series:
    """Return float64 of a series of text: numbers, or days since 1970 for dates; null for gaps and
    for what does not fit.

    A column of amounts takes them with or without the unit that the training rows had, and no other
    unit. Dates may also be ISO 8601, or a number of days.
    """
    if column.format == "date":
        return _dates(series, column.dates)
    if column.decimal is None:
        return series.cast(pl.Float64, strict=False)
    read = amounts(series, column.decimal)
    known = {"", column.unit or ""}
    if set(read.units) <= known:
        return read.values
    # Which row has another unit
    single = [amounts(series.slice(i, 1), column.decimal) for i in range(len(series))]
    return pl.Series(
        series.name,
        [v.values[0] if set(v.units) <= known else None for v in single],
        dtype=pl.Float64,
    )


def expected(column: Column) -> str:
    """Return what a value of the column must be, in a few words."""
    if column.kind == "boolean":
        return "true or false"
    if column.format == "date":
        return f"a date such as {column.written or '2024-05-31'}"
    return f"a number such as {column.written}" if column.written else "a number"


def _dates(series: pl.Series, form: str | None) -> pl.Series:
    written = (
        None
        if form is None
        else read_dates(series, (form,)).dt.epoch("us").cast(pl.Float64) / 86_400e6
    )
    rest = series if written is None else series.set(written.is_not_null(), None)
    iso = pl.Series(series.name, [_day(value) for value in rest], dtype=pl.Float64)
    return iso if written is None else written.fill_null(iso)


def _day(text: str | None) -> float | None:
    """Return days of ISO text, or of a number of days as text."""
    if text is None:
        return None
    try:
        return days(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
