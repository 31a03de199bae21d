"""Numbers as people write them: ``$18,641.22``, ``1.234,5``, ``50%``, ``(1,200)``, ``1 200``.

One grammar for each decimal mark. A number has at most one unit (a currency or a percent sign), and
its thousands are grouped in threes, or in twos above the last three as in India. What the grammar
does not know is no number; nothing is guessed about it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl

__all__ = ["MARKS", "Amounts", "Decimal", "amounts"]

Decimal = Literal[".", ","]

MARKS: tuple[Decimal, Decimal] = (".", ",")

_SIGNS = "$€£¥₹₽₩₺₴₦฿₫₪₱₡"
_CODES = (
    "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|CNY|RMB|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|RUB|BRL|MXN|ARS|CLP|COP|ZAR|KRW|SGD|HKD|TWD|"
    "THB|IDR|MYR|PHP|VND|ILS|AED|SAR|EGP|NGN|KES|ISK|UAH"
)
_UNIT = rf"(?:(?:US|CA|AU|NZ|HK|R|C|A|S)?[{_SIGNS}]|(?:{_CODES})\b|Fr\.|kr\.?|zł|Kč|Ft)"
_SIGN = r"[-+]"
# Blanks that do not break, which typesetters put between thousands
_BLANKS = "[\u00a0\u2007\u2009\u202f]"
_DASHES = "[\u2212\u2013\u2012]"  # what is meant as a minus


def _grammar(decimal: Decimal) -> str:
    """Return groups: open parenthesis, sign, unit, sign, number, unit after it, close
    parenthesis.
    """
    point, other = (r"\.", ",") if decimal == "." else (",", r"\.")
    end = rf"(?:{point}\d*)?"
    grouped = "|".join(rf"\d{{1,3}}(?:{g}\d{{3}})+{end}" for g in (other, " ", "['\u2019]"))
    indian = rf"\d{{1,2}}(?:{other}\d{{2}})+{other}\d{{3}}{end}"
    number = rf"{grouped}|{indian}|\d+{end}(?:[eE][-+]?\d+)?|{point}\d+(?:[eE][-+]?\d+)?"
    return rf"^(\()?\s*({_SIGN})?\s*({_UNIT})?\s*({_SIGN})?\s*({number})\s*({_UNIT}|%)?\s*(\))?$"


_GRAMMARS = {mark: _grammar(mark) for mark in MARKS}


class Amounts(NamedTuple):
    """Text read as numbers.

    Attributes:
        values: Float64, null for what is a gap or no number.
        units: the different units that were written, in order; "" among them when some numbers had
            none.
        codes: whether any number begins with a zero that counts for nothing, as codes do.
    """

    values: pl.Series
    units: tuple[str, ...]
    codes: bool


def amounts(series: pl.Series, decimal: Decimal) -> Amounts:
    """Return the numbers of a series of text, with ``decimal`` before the decimals.

    Parentheses and a minus make a number negative, not both at once. ``50%`` is 50.
    """
    cleaned = series.str.replace_all(_BLANKS, " ").str.replace_all(_DASHES, "-").str.strip_chars()
    found = cleaned.str.extract_groups(_GRAMMARS[decimal]).struct.unnest()
    opened, sign, unit, inner, digits, after, closed = (found.to_series(i) for i in range(7))
    fits = opened.is_not_null() == closed.is_not_null()
    signs = (
        opened.is_not_null().cast(pl.Int8)
        + sign.is_not_null().cast(pl.Int8)
        + inner.is_not_null().cast(pl.Int8)
    )
    fits = fits & (signs <= 1) & ~(unit.is_not_null() & after.is_not_null()) & digits.is_not_null()
    bare = digits.str.replace_all("[ '\u2019]", "").str.replace_all(
        "," if decimal == "." else r"\.", ""
    )
    numbers = bare.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    is_negative = (
        opened.is_not_null() | (sign == "-").fill_null(False) | (inner == "-").fill_null(False)
    )
    values = (
        pl.select(pl.when(fits).then(pl.when(is_negative).then(-numbers).otherwise(numbers)))
        .to_series()
        .alias(series.name)
    )
    units = (
        pl.select(pl.when(fits).then(pl.coalesce(unit, after).fill_null("")))
        .to_series()
        .drop_nulls()
    )
    codes = bool((digits.str.contains(r"^0\d") & fits).any())
    return Amounts(values, tuple(sorted(units.unique().to_list())), codes)
