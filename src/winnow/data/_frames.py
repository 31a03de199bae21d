"""Frames of any make -> a polars frame of numbers (Float64), booleans (Boolean) and text
(String), with null for every gap.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from winnow.errors import DataError

__all__ = [
    "LARGEST_EXACT",
    "TOO_LARGE",
    "ColumnNote",
    "Doubt",
    "Format",
    "Reading",
    "TypedFrame",
    "is_frame",
    "is_series",
    "plain",
    "series_to_polars",
    "to_polars",
]

Format = Literal["date", "code"]
LARGEST_EXACT = 2**53  # from here on float64 does not hold every whole number
TOO_LARGE = (
    "holds whole numbers beyond 9,007,199,254,740,992, whose last digits are lost in float64: if "
    "they are ids, name the column "
    "in data.drop"
)


@dataclass(frozen=True)
class Reading:
    """How the text of a column was read, where it was neither plain numbers nor ISO dates.

    Attributes:
        decimal: the mark before the decimals; None for dates.
        unit: what stands beside the numbers, a currency or ``%``.
        dates: the form of the dates, in strptime's letters.
        written: a value as it stands in the file.
    """

    decimal: Literal[".", ","] | None = None
    unit: str | None = None
    dates: str | None = None
    written: str | None = None


@dataclass(frozen=True)
class Doubt:
    """Why a column that is nearly numbers or dates is taken as text, and what to write to have
    it otherwise.
    """

    why: str
    fix: str


class ColumnNote(str):
    """A note about one column, which is not told where that column is left out.

    Attributes:
        column: its name.
    """

    column: str

    def __new__(cls, column: str, text: str) -> ColumnNote:
        note = super().__new__(cls, f"column {column!r}: {text}")
        note.column = column
        return note

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # another process only reads it


@dataclass(frozen=True)
class TypedFrame:
    """A polars frame, and what is known of its columns beside their types.

    Attributes:
        frame: the columns.
        formats: which of them were dates, or codes of categories.
        notes: what was done to them.
        readings: how text was read, for the columns where that needs saying.
        doubts: columns of text that were nearly something else.
        line: says where a row stands in its file; None where there is no file of text.
    """

    frame: pl.DataFrame
    formats: dict[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    readings: dict[str, Reading] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    line: Callable[[int], str] | None = field(default=None, compare=False)


def is_frame(value: Any) -> bool:
    """Return whether ``value`` is a polars or pandas frame; neither library is loaded to find
    out.
    """
    return _maker(value) in ("polars", "pandas") and type(value).__name__ in (
        "DataFrame",
        "LazyFrame",
    )


def is_series(value: Any) -> bool:
    """Return whether ``value`` is one column of a polars or pandas frame."""
    return _maker(value) in ("polars", "pandas") and type(value).__name__ == "Series"


def to_polars(frame: Any) -> TypedFrame:
    """Return the same columns in polars.

    Raises:
        DataError: two columns with one name.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return TypedFrame(frame)
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"data.source: expected one column for each name, found {twice[0]!r} "
            f"{names.count(twice[0])} times"
        )
    columns = [frame.iloc[:, i] for i in range(len(names))]
    found = [series_to_polars(c, name) for name, c in zip(names, columns, strict=True)]
    codes: dict[str, Format] = {
        name: "code" for name, c in zip(names, columns, strict=True) if _is_code(c)
    }
    mixed = [
        s.name
        for s, c in zip(found, columns, strict=True)
        if s.dtype == pl.String and s.name not in codes and _is_mixed(c)
    ]
    notes = tuple(ColumnNote(name, "values of several types, all taken as text") for name in mixed)
    return TypedFrame(pl.DataFrame(found), codes, notes)


def series_to_polars(series: Any, name: str) -> pl.Series:
    """Return one pandas or polars column, or any array of values, as a polars series. pyarrow is
    not needed.
    """
    if isinstance(series, pl.Series):
        return series.alias(name)
    dtype = getattr(series, "dtype", None)
    if getattr(dtype, "tz", None) is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
        dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iufbMm":
        values = np.asarray(series)
        return pl.Series(
            name, values.astype(f"{values.dtype.str[1:3]}[us]") if dtype.kind in "Mm" else values
        )
    values = np.asarray(series, dtype=object).tolist()
    gaps = (
        series.isna().to_numpy()
        if hasattr(series, "isna")
        else [v is None or v != v for v in values]
    )
    return _from_objects(name, [None if gap else v for v, gap in zip(values, gaps, strict=True)])


def plain(typed: TypedFrame) -> TypedFrame:
    """Every column as Float64, Boolean or String. Dates become days since 1970-01-01, times and
    durations seconds.

    Raises:
        DataError: a column of lists, records, bytes or other objects, by its name.
    """
    formats, notes = dict(typed.formats), list(typed.notes)
    # All at once, since there may be thousands.
    frame = typed.frame.with_columns(pl.selectors.numeric().cast(pl.Float64).fill_nan(None))
    notes += _beyond_exact(typed.frame)
    changed: list[pl.Series] = []
    dates: list[str] = []
    for series in frame.get_columns():
        dtype = series.dtype
        if series.name in formats:
            series = typed.frame[series.name].cast(pl.String)
            changed.append(series)
            continue
        if dtype.is_float() or dtype.is_(pl.Boolean) or dtype.is_(pl.String):
            continue
        if dtype.is_(pl.Date) or isinstance(dtype, pl.Datetime):
            formats[series.name] = "date"
            dates.append(series.name)
        elif isinstance(dtype, pl.Duration) or dtype.is_(pl.Time):
            notes.append(
                ColumnNote(
                    series.name, f"{str(dtype).split('(')[0].lower()}s were turned into seconds"
                )
            )
        changed.append(_plain_series(series))
    if dates:
        what = "dates were turned into days since 1970-01-01"
        which = ", ".join(map(repr, dates[:10]))
        which += f" and {len(dates) - 10} more" if len(dates) > 10 else ""
        notes.append(ColumnNote(dates[0], what) if len(dates) == 1 else f"columns {which}: {what}")
    return replace(typed, frame=frame.with_columns(changed), formats=formats, notes=tuple(notes))


def _beyond_exact(frame: pl.DataFrame) -> list[str]:
    """Return notes on columns of whole numbers of which some are too large to be kept to the last
    digit.
    """
    whole = frame.select(pl.selectors.integer())
    if whole.width == 0:
        return []
    ends = (whole.min().row(0), whole.max().row(0))
    large = [
        name
        for name, low, high in zip(whole.columns, *ends, strict=True)
        if low is not None and max(-low, high) > LARGEST_EXACT
    ]
    return [ColumnNote(name, TOO_LARGE) for name in large]


def _plain_series(series: pl.Series) -> pl.Series:
    dtype = series.dtype
    if dtype.is_(pl.Boolean) or dtype.is_(pl.String):
        return series
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    if dtype.is_numeric() or dtype.is_(pl.Null):
        return series.cast(pl.Float64).fill_nan(None)
    if dtype.is_(pl.Date):
        return series.dt.epoch("d").cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.dt.epoch("us").cast(pl.Float64) / 86_400e6
    if isinstance(dtype, pl.Duration):
        return series.dt.total_microseconds().cast(pl.Float64) / 1e6
    if dtype.is_(pl.Time):
        return series.cast(pl.Int64).cast(pl.Float64) / 1e9
    raise DataError(
        f"data.source: column {series.name!r} holds {dtype}: expected numbers, text, booleans or "
        f"dates; "
        f"name it in data.drop, or turn it into columns of those"
    )


def _from_objects(name: str, values: list[Any]) -> pl.Series:
    present = [v for v in values if v is not None]
    if all(isinstance(v, numbers.Real) and not isinstance(v, bool | np.bool_) for v in present):
        whole = all(isinstance(v, numbers.Integral) for v in present)
        if not whole:
            return pl.Series(
                name, [None if v is None else float(v) for v in values], dtype=pl.Float64
            )
    try:
        return pl.Series(name, values, strict=True)
    # Values of several types: what they have in common is text
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if v is None else str(v) for v in values], dtype=pl.String)


def _is_code(series: Any) -> bool:
    categories = getattr(series.dtype, "categories", None)
    return categories is not None and getattr(categories.dtype, "kind", "O") in "iu"


def _is_mixed(series: Any) -> bool:
    return getattr(series.dtype, "kind", "") == "O" and any(
        not isinstance(v, str) for v in series.dropna().tolist()
    )


def _maker(value: Any) -> str:
    return type(value).__module__.partition(".")[0]
