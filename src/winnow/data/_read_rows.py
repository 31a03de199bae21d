"""Files of rows to predict: read by what the columns were in training, not by what their values look like today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from winnow.data._columns import Column, days
from winnow.data._csv import blank_to_null, is_stray, parse_dates, read_text
from winnow.data._preparation import Preparation
from winnow.data._source import read_parquet
from winnow.errors import DataError, InputError, Problem

__all__ = ["read_rows"]


def read_rows(path: str | Path, preparation: Preparation) -> pl.DataFrame:
    """The rows of a .csv or .parquet file, its columns typed for ``preparation.transform``; other columns are kept as text.

    Raises:
        DataError: no such file, or one that cannot be read.
        InputError: values that do not fit their column; ``problems`` names the row and the field of each.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise DataError(f"expected a .csv or .parquet file of rows, got {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        return read_parquet(path)
    frame, _ = read_text(path)
    columns = {c.name: c for c in preparation.columns if isinstance(c, Column)}
    problems: list[Problem] = []
    typed = [_typed(series, columns.get(series.name), problems) for series in frame.get_columns()]
    if problems:
        raise InputError(problems)
    return pl.DataFrame(typed)


def _typed(text: pl.Series, column: Column | None, problems: list[Problem]) -> pl.Series:
    series = blank_to_null(text)
    if column is None or column.kind == "category":
        return series
    series = series.set(is_stray(series).fill_null(False), None)
    if column.kind == "boolean":
        low = series.str.to_lowercase()
        typed = low.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None, return_dtype=pl.Boolean)
    else:
        typed = _dates(series) if column.format == "date" else series.cast(pl.Float64, strict=False)
    for row in np.flatnonzero((typed.is_null() & series.is_not_null()).to_numpy())[:20]:
        expected = {"boolean": "true or false"}.get(column.kind, "a date" if column.format == "date" else "a number")
        problems.append(Problem(f"rows[{row}].{column.name}", f"expected {expected}, got {series[int(row)]!r}"))
    return typed


def _dates(series: pl.Series) -> pl.Series:
    """Dates, or numbers of days, with null for what is neither."""
    dates, numbers = parse_dates(series), series.cast(pl.Float64, strict=False)
    if dates is not None:
        return dates
    if numbers.null_count() == series.null_count():
        return numbers
    return pl.Series(series.name, [_day(value) for value in series], dtype=pl.Float64)


def _day(text: str | None) -> float | None:
    try:
        return None if text is None else days(text)
    except ValueError:
        return None
