"""Dates as people write them: which of a table of forms all values of a column have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import polars as pl

__all__ = ["Dates", "Order", "find_dates", "read_dates"]

Order = Literal["day_first", "month_first"]

_TIMES = ("", " %H:%M", " %H:%M:%S%.f", "T%H:%M", "T%H:%M:%S%.f", " %I:%M %p", " %I:%M:%S %p")
_YEAR_FIRST = tuple(
    f"{day}{time}" for day in ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d") for time in _TIMES
)
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_MONTHS = ("%Y-%m",)
_NAMED = tuple(
    f"{day}{time}"
    for day in (
        "%d %b %Y",
        "%d %B %Y",
        "%d. %B %Y",
        "%d-%b-%y",  # before the year of four digits, which reads 99 as the year 99
        "%d-%b-%Y",
        "%d/%b/%Y",
        "%b %d, %Y",
        "%B %d, %Y",
        "%b %d %Y",
        "%B %d %Y",
    )
    for time in _TIMES[:3]
)
# What `days` reads without being told the form
_ISO = r"^\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?$"
_NUMERIC = r"^\d{1,2}([./-])\d{1,2}[./-](\d{4}|\d{2})(.*)$"
_ORDERS: dict[Order, str] = {"day_first": "%d{0}%m{0}{1}", "month_first": "%m{0}%d{0}{1}"}


class Dates(NamedTuple):
    """Text read as dates.

    Attributes:
        values: dates, or datetimes in UTC; null for gaps.
        form: the form in strptime's letters; None: ISO 8601, which needs no telling.
        orders: which orders of day and month all values fit; both: the text alone does not say.
    """

    values: pl.Series
    form: str | None
    orders: tuple[Order, ...] = ()


def find_dates(series: pl.Series, order: Order | None = None) -> Dates | None:
    """Return the dates of a series of text, or None when its values are not all dates of one form.

    Args:
        series: text with null for gaps.
        order: which of day and month comes first where both would do. None: a field that is 1 in
            every row is the day; with dots the day comes first; else the day, too, and ``orders``
            names both.
    """
    present = series.drop_nulls()
    if present.is_empty():
        return None
    first = present[0]
    if first[:4].isdecimal() and first[4:5] in ("-", "/", "."):
        return _first_of(series, (*_YEAR_FIRST, *_ZONED, *_MONTHS))
    parts = present.str.extract_groups(_NUMERIC).struct.unnest()
    if parts.to_series(0).null_count() == 0:
        return _numeric(series, parts, order)
    if any(letter.isalpha() for letter in first) and any(letter.isdecimal() for letter in first):
        return _first_of(series, _NAMED)
    return None


def read_dates(series: pl.Series, forms: Sequence[str]) -> pl.Series:
    """Return each value as a datetime by the first of ``forms`` that it has; null for gaps and for
    what has none.
    """
    out: pl.Series | None = None
    for form in forms:
        values = _parsed(series, form).cast(pl.Datetime("us"))
        out = values if out is None else out.fill_null(values)
    assert out is not None
    return out


def _numeric(series: pl.Series, parts: pl.DataFrame, order: Order | None) -> Dates | None:
    separators, years = parts.to_series(0), parts.to_series(1).str.len_chars()
    if separators.n_unique() > 1 or years.n_unique() > 1:
        return None
    year = "%Y" if years[0] == 4 else "%y"
    found: dict[Order, Dates] = {}
    for name, day in _ORDERS.items():
        dates = _first_of(series, tuple(day.format(separators[0], year) + time for time in _TIMES))
        if dates is not None:
            found[name] = dates
    if not found:
        return None
    chosen = next(iter(found)) if len(found) == 1 else order or _likely(series, separators[0])
    if chosen not in found:
        return None
    known = _likely_for_sure(series, separators[0])
    orders = (chosen,) if known is not None and order is None else tuple(found)
    return found[chosen]._replace(orders=orders)


def _likely(series: pl.Series, separator: str) -> Order:
    return _likely_for_sure(series, separator) or "day_first"


def _likely_for_sure(series: pl.Series, separator: str) -> Order | None:
    """Return the order where something beside the range of the numbers gives it away."""
    if separator == ".":
        return "day_first"
    present = series.drop_nulls()
    fields = present.str.extract_groups(r"^0?(\d+)[./-]0?(\d+)").struct.unnest()
    constant = [
        fields.to_series(i).n_unique() == 1 and fields.to_series(i)[0] == "1" for i in range(2)
    ]
    if constant[0] != constant[1] and present.n_unique() > 2:  # the first of every month
        return "day_first" if constant[0] else "month_first"
    return None


def _first_of(series: pl.Series, forms: tuple[str, ...]) -> Dates | None:
    sample = series.drop_nulls().head(1)
    for form in forms:
        if _parsed(sample, form).null_count():
            continue
        values = _parsed(series, form)
        if values.null_count() == series.null_count():
            is_iso = bool(series.drop_nulls().str.contains(_ISO).all())
            return Dates(values, None if is_iso or form in _ZONED else form)
    return None


def _parsed(series: pl.Series, form: str) -> pl.Series:
    has_time = "%H" in form or "%I" in form
    if "%#z" in form:
        return series.str.strptime(
            pl.Datetime("us", "UTC"), form, strict=False
        ).dt.replace_time_zone(None)
    return series.str.strptime(pl.Datetime("us") if has_time else pl.Date, form, strict=False)
