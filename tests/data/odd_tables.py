"""Tables as people have them: how they are written, and what must come out. Each has a column
``y`` beside what is odd.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["ODD", "Odd"]

ROWS = 40
_RNG = np.random.default_rng(7)
AMOUNTS = [round(float(v), 2) for v in np.exp(_RNG.normal(8, 2, ROWS))]
AMOUNTS[:3] = [18641.22, 1200.0, 1234567.5]
TENTHS = [round(float(v), 1) for v in _RNG.normal(0, 1000, ROWS)]
DAYS = [dt.date(2023, 1, 1) + dt.timedelta(days=int(d)) for d in _RNG.integers(0, 700, ROWS)]
DAYS[0] = dt.date(2024, 5, 31)
CITIES = ["Köln", "Zürich", "Łódź", "Orléans"]
Y = ["yes" if i % 3 else "no" for i in range(ROWS)]


@dataclass(frozen=True)
class Odd:
    """One table.

    Attributes:
        name: of the file, with its suffix.
        content: its bytes.
        values: what must be read, by column; dates as dates.
        notes: parts of notes that must be told.
        settings: of ``Data``, where the file alone does not tell.
        left_out: columns that no feature is made of.
    """

    name: str
    content: bytes
    values: dict[str, list[Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def _table(
    columns: dict[str, list[Any]], separator: str = ",", encoding: str = "utf-8", end: str = "\n"
) -> bytes:
    def quoted(value: Any) -> str:
        text = str(value)
        return f'"{text}"' if separator in text or "\n" in text else text

    lines = [separator.join(map(quoted, columns))]
    lines += [separator.join(map(quoted, row)) for row in zip(*columns.values(), strict=True)]
    return (end.join(lines) + end).encode(encoding)


def _money(value: float) -> str:
    return f"${value:,.2f}" if value >= 0 else f"-${-value:,.2f}"


def _german(value: float, digits: int = 1) -> str:
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def _accounting(value: float) -> str:
    return f"({-value:,.1f})" if value < 0 else f"{value:,.1f}"


def _gaps(values: list[Any], marks: list[str]) -> list[Any]:
    return [marks[(i // 5) % len(marks)] if i % 5 == 4 else v for i, v in enumerate(values)]


def _with_none(values: list[Any]) -> list[Any]:
    return [None if i % 5 == 4 else v for i, v in enumerate(values)]


_X = list(range(ROWS))[::-1]
_SAFE = [dt.date(2024, 1 + i % 12, 1 + i % 11) for i in range(ROWS)]

ODD = (
    Odd(
        "dollars.csv",
        _table({"price": [_money(v) for v in AMOUNTS], "y": Y}),
        {"price": AMOUNTS},
        ("as 1234567.5",),
    ),
    Odd(
        "accounting.csv",
        _table({"profit": [_accounting(v) for v in TENTHS], "y": Y}),
        {"profit": TENTHS},
    ),
    Odd(
        "percent.csv",
        _table({"share": [f"{v / 10:.1f}%" for v in _X], "y": Y}),
        {"share": [v / 10 for v in _X]},
    ),
    Odd(
        "blanks.csv",
        _table({"n": [f"{v:,.2f}".replace(",", "\u202f") for v in AMOUNTS], "y": Y}),
        {"n": AMOUNTS},
    ),
    Odd(
        "swiss.csv",
        _table({"n": [f"{v:,.2f}".replace(",", "'") for v in AMOUNTS], "y": Y}),
        {"n": AMOUNTS},
    ),
    Odd("codes.csv", _table({"n": [f"{v:,.2f} EUR" for v in AMOUNTS], "y": Y}), {"n": AMOUNTS}),
    Odd(
        "minus.csv",
        _table({"n": [str(v).replace("-", "\u2212") for v in TENTHS], "y": Y}),
        {"n": TENTHS},
    ),
    Odd(
        "german.csv",
        _table(
            {
                "n": [_german(v) for v in TENTHS],
                "whole": [_german(v, 0) for v in (1000 * (i + 1) for i in _X)],
                "y": Y,
            },
            separator=";",
        ),
        {"n": TENTHS, "whole": [1000 * (i + 1) for i in _X]},
        ("fields are separated by ';'",),
    ),
    Odd(
        "thousands_or_decimals.csv",
        _table({"n": [f"{1 + i},{100 + i}" for i in _X], "y": Y}, separator=";"),
        {"n": [float(f"{1 + i}.{100 + i}") for i in _X]},
        ('write `data.decimal: "."`',),
    ),
    Odd(
        "told.csv",
        _table({"n": [f"{1 + i},{100 + i}" for i in _X], "y": Y}, separator=";"),
        {"n": [int(f"{1 + i}{100 + i}") for i in _X]},
        settings={"decimal": "."},
    ),
    Odd(
        "latin.csv",
        _table({"city": [("Köln", "Orléans")[i % 2] for i in _X], "y": Y}, encoding="cp1252"),
        {},
        ("Windows-1252",),
    ),
    Odd(
        "polish.csv",
        _table({"city": [("Łódź", "Kraków")[i % 2] for i in _X], "y": Y}, encoding="cp1250"),
        {"city": [("Łódź", "Kraków")[i % 2] for i in _X]},
        settings={"encoding": "cp1250"},
    ),
    Odd(
        "wide.csv",
        _table({"city": [CITIES[i % 4] for i in _X], "y": Y}, encoding="utf-16"),
        {"city": [CITIES[i % 4] for i in _X]},
    ),
    Odd(
        "wide_unmarked.csv",
        _table({"city": ["Köln" if i % 2 else "Bonn" for i in _X], "y": Y}, encoding="utf-16-le"),
        {},
        ("UTF-16",),
    ),
    Odd("marked.csv", _table({"x": _X, "y": Y}, encoding="utf-8-sig", end="\r\n"), {"x": _X}),
    Odd("old_mac.csv", _table({"x": _X, "y": Y}, end="\r"), {"x": _X}),
    Odd("tabs.tsv", _table({"x, in m": _X, "y": Y}, separator="\t"), {"x, in m": _X}),
    Odd(
        "breaks.csv",
        _table({"t": ["two\nlines" if i % 2 else "one" for i in _X], "x": _X, "y": Y}),
        {"x": _X, "t": ["two\nlines", "one"] * 20},
    ),
    Odd(
        "empty_lines.csv",
        _table({"x": _X, "y": Y}).replace(b"\n", b"\n\n", 3),
        {"x": _X},
        ("3 empty lines were passed over",),
    ),
    Odd(
        "short.csv",
        _table({"x": _X, "z": TENTHS, "y": Y}) + b"5\n",
        {"x": [*_X, 5]},
        ("line 42 has 1 of 3 fields",),
    ),
    Odd(
        "stray_quotes.csv",
        b"t,x,y\n"
        + b"".join(b'5" pipe,%d,%s\n' % (i, y.encode()) for i, y in zip(_X, Y, strict=True)),
        {"x": _X},
    ),
    Odd(
        "day_first.csv",
        _table({"day": [f"{d:%d/%m/%Y}" for d in DAYS], "y": Y}),
        {"day": DAYS},
        ("read as the date 20",),
    ),
    Odd(
        "month_first.csv",
        _table({"day": [f"{d:%m/%d/%Y}" for d in DAYS], "y": Y}),
        {"day": DAYS},
        ("read as the date 20",),
    ),
    Odd("dots.csv", _table({"day": [f"{d:%d.%m.%Y}" for d in DAYS], "y": Y}), {"day": DAYS}),
    Odd("month_names.csv", _table({"day": [f"{d:%d %b %Y}" for d in DAYS], "y": Y}), {"day": DAYS}),
    Odd(
        "either_first.csv",
        _table({"day": [f"{d:%d/%m/%Y}" for d in _SAFE], "y": Y}),
        {"day": _SAFE},
        ("write `data.dates: month_first`",),
    ),
    Odd(
        "month_told.csv",
        _table({"day": [f"{d:%m/%d/%Y}" for d in _SAFE], "y": Y}),
        {"day": _SAFE},
        settings={"dates": "month_first"},
    ),
    Odd(
        "first_of_months.csv",
        _table({"day": [f"{1 + i % 12:02d}/01/20{10 + i // 12}" for i in range(ROWS)], "y": Y}),
        {"day": [dt.date(2010 + i // 12, 1 + i % 12, 1) for i in range(ROWS)]},
    ),
    Odd(
        "times.csv",
        _table({"t": [f"{d:%d/%m/%Y} 14:05" for d in DAYS], "y": Y}),
        {"t": [dt.datetime.combine(d, dt.time(14, 5)) for d in DAYS]},
    ),
    Odd(
        "gaps.csv",
        _table({"x": _gaps(TENTHS, ["NA", "?", "-", "null", "n/a"]), "y": Y}),
        {"x": _with_none(TENTHS)},
    ),
    Odd(
        "gaps_in_money.csv",
        _table({"x": _gaps([_money(v) for v in AMOUNTS], ["", "-", "NA"]), "y": Y}),
        {"x": _with_none(AMOUNTS)},
    ),
    Odd(
        "gaps_in_dates.csv",
        _table({"d": _gaps([f"{d:%d/%m/%Y}" for d in DAYS], ["-", ""]), "y": Y}),
        {"d": _with_none(DAYS)},
    ),
    Odd(
        "all_empty.csv",
        _table({"x": _X, "nothing": [""] * ROWS, "y": Y}),
        {"x": _X},
        ("no values",),
        left_out=("nothing",),
    ),
    Odd(
        "yes_no.csv",
        _table({"flag": ["yes", "no"] * 20, "x": _X, "y": Y}),
        {"flag": ["yes", "no"] * 20},
    ),
    Odd(
        "long_numbers.csv",
        _table({"id": [2**60 + 3 * i for i in _X], "x": TENTHS, "y": Y}),
        {"x": TENTHS},
    ),
    Odd(
        "many_words.csv",
        _table({"w": [f"w{i // 2}" for i in _X], "x": TENTHS, "y": Y}),
        {},
        settings={"prepare": {"max_categories": 5}},
    ),
    Odd(
        "our_names.csv",
        _table({"prediction": TENTHS, "probability_yes": _X, "y": Y}),
        {"prediction": TENTHS, "probability_yes": _X},
    ),
    Odd(
        "one_misfit.csv",
        _table({"n": [*TENTHS[:-1], "12 kg"], "x": _X, "y": Y}),
        {"x": _X},
        ("97% of the values are numbers, but '12 kg' (line 41) is not: left out",),
        left_out=("n",),
    ),
    Odd(
        "units.csv",
        _table({"n": [f"{v} kg" for v in TENTHS], "x": _X, "y": Y}),
        {"x": _X},
        ("holds numbers with 'kg' after them",),
        left_out=("n",),
    ),
    Odd(
        "two_currencies.csv",
        _table({"n": [f"{'$€'[i % 2]}{v}" for i, v in enumerate(AMOUNTS)], "x": _X, "y": Y}),
        {"x": _X},
        ("holds numbers with different units, '$' and '€'",),
        left_out=("n",),
    ),
    Odd(
        "two_marks.csv",
        _table(
            {"n": [str(v).replace(".", ".,"[i % 2]) for i, v in enumerate(TENTHS)], "x": _X, "y": Y}
        ),
        {"x": _X},
        ("some values have a decimal point and some a decimal comma",),
        left_out=("n",),
    ),
    Odd(
        "two_orders.csv",
        _table(
            {
                "d": ["31/05/2024", "05/31/2024"] * 18
                + ["1/1/2024", "2/1/2024", "3/1/2024", "4/1/2024"],
                "x": _X,
                "y": Y,
            }
        ),
        {"x": _X},
        (
            "looks like dates such as '31/05/2024', but no one form fits all of them: "
            "'05/31/2024' (line 3) has another",
        ),
    ),
    Odd(
        "zip.csv",
        _table({"zip": [f"{i:05d}" for i in range(20)] * 2, "y": Y}),
        {"zip": [f"{i:05d}" for i in range(20)] * 2},
    ),
)
