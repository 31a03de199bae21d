"""Files of text: read as text, then a type for each column from what all its values say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from winnow.data._amounts import MARKS, Amounts, Decimal, amounts
from winnow.data._dates import Order, find_dates
from winnow.data._frames import TOO_LARGE, ColumnNote, Doubt, Reading, TypedFrame
from winnow.data._text import Style, Text, read_text

__all__ = ["MARKERS", "STRAYS", "blank_to_null", "is_stray", "read_csv"]

MARKERS = (
    "",
    "NA",
    "N/A",
    "n/a",
    "NaN",
    "nan",
    "NULL",
    "null",
    "<NA>",
    "#N/A",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "?",
)
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
# Of the values of a text column: from here on what does not fit the rest is worth a note
MIN_SHARE = 0.9
# Different words after numbers that are taken for units; more are part of an address or a name
FEW_UNITS = 3

_CODE, _HUGE = r"^0\d+$", r"^[-+]?\d{17,}$"
_UNIT = r"^[-+]?\d[\d.,' ]*\s*([^\d\s].{0,15})$"
_DATE_LIKE = r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b"


def read_csv(path: Path, style: Style | None = None) -> TypedFrame:
    """A frame of whole numbers, numbers, booleans, dates and text; how each column was read; and
    notes on what was decided.

    Raises:
        DataError: no rows, bytes that are not of the encoding, a record with too many fields, a
            column name that stands twice.
    """
    style = style or Style()
    text = read_text(path, style)
    found = _Columns(text, style)
    found.read()
    frame = pl.DataFrame(list(found.columns.values()))
    return TypedFrame(
        frame, {}, (*text.notes, *found.notes), found.readings, found.doubts, text.lines.line
    )


def blank_to_null(series: pl.Series) -> pl.Series:
    """Text with the markers of a gap turned into null."""
    return series.set(series.is_in(list(MARKERS)), None)


def is_stray(series: pl.Series) -> pl.Series:
    """Which values are words for a gap where numbers or dates are expected."""
    return series.str.to_lowercase().is_in(list(STRAYS))


@dataclass(frozen=True)
class _Amounts:
    """A column that is all numbers, gaps and stray words, by the decimal marks with which it is."""

    by_mark: dict[Decimal, Amounts]
    stray: pl.Series


@dataclass
class _Columns:
    """The columns of a file on their way from text to types, in the order of the file."""

    text: Text
    style: Style
    columns: dict[str, pl.Series] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self) -> None:
        frame = self.text.frame
        # Everything at once where it can be: a call for each of thousands of columns would take
        # seconds.
        present = frame.select(
            pl.when(pl.all().is_in(list(MARKERS))).then(None).otherwise(pl.all()).name.keep()
        )
        empty = frame.select((pl.all() == "").sum()).row(0)
        gaps = present.null_count().row(0)
        numbers = present.select(pl.all().cast(pl.Float64, strict=False))
        whole = present.select(pl.all().cast(pl.Int64, strict=False))
        as_numbers, as_whole = numbers.null_count().row(0), whole.null_count().row(0)
        # Of numbers: those with a leading zero, and those that are larger than any 64 bits hold.
        odd = present.select(pl.all().str.contains(rf"{_CODE}|{_HUGE}").any()).row(0)
        rest: list[pl.Series] = []
        for i, name in enumerate(frame.columns):
            series = present.to_series(i)
            self.columns[name] = series
            if gaps[i] > empty[i]:
                self._tell_markers(frame.to_series(i), series)
            if gaps[i] == frame.height:
                self.columns[name] = series.cast(pl.Null)
            elif as_numbers[i] > gaps[i]:
                rest.append(series)
            elif odd[i] and series.str.contains(_CODE).any():
                self.notes.append(ColumnNote(name, "numbers with leading zeros: taken as text"))
            else:
                self.columns[name] = (
                    whole.to_series(i) if as_whole[i] == gaps[i] else numbers.to_series(i)
                )
                # Whole numbers of 64 bits are looked at as such
                if odd[i] and as_whole[i] > gaps[i]:
                    self.notes.append(ColumnNote(name, TOO_LARGE))
        self._read_rest(
            rest, [s for s in present.get_columns() if self.columns[s.name].dtype == pl.Float64]
        )

    def _tell_markers(self, text: pl.Series, series: pl.Series) -> None:
        written = sorted(set(text.filter(series.is_null()).unique().to_list()) - {""})
        count = int((series.is_null() & (text != "")).sum())
        self.notes.append(
            ColumnNote(text.name, f"{_quoted(written)} taken as missing in {_rows(count)}")
        )

    # -- what is no plain number -------------------------------------------------------------------

    def _read_rest(self, rest: list[pl.Series], plain: list[pl.Series]) -> None:
        """Amounts, booleans and dates among columns that are no plain numbers; ``plain``: the
        text of those that are.
        """
        found: dict[str, _Amounts] = {}
        dates: list[pl.Series] = []
        for series in rest:
            if (candidate := _all_amounts(series)) is not None:
                found[series.name] = candidate
            elif not self._read_boolean(series):
                dates.append(series)
        self._read_amounts(found, plain)
        self._read_dates(dates)

    def _read_boolean(self, series: pl.Series) -> bool:
        low = series.str.to_lowercase()
        if not low.drop_nulls().is_in(["true", "false"]).all():
            return False
        self.columns[series.name] = low == "true"
        return True

    def _read_amounts(self, found: dict[str, _Amounts], plain: list[pl.Series]) -> None:
        """Numbers in people's writing. Which mark stands before the decimals, the file as a
        whole tells.
        """
        only_comma = any(set(c.by_mark) == {","} for c in found.values())
        only_point = any(set(c.by_mark) == {"."} for c in found.values())
        asked = self.style.decimal
        if only_comma or asked == ",":
            both = {s.name: s for s in plain}
            commas = {name: _all_amounts(s, (",",)) for name, s in both.items()}
            only_point = only_point or any(c is None for c in commas.values())
            if asked == "," or not only_point:  # 1.234 is then a whole number
                for name, candidate in commas.items():
                    if candidate is None:
                        self._refuse_mark(both[name])
                    else:
                        found[name] = candidate
        else:
            only_point = only_point or bool(plain)
        file_mark: Decimal | None = (
            "," if only_comma and not only_point else "." if only_point and not only_comma else None
        )
        for name in sorted(found, key=self.text.frame.columns.index) if found else ():
            self._read_amount(name, found[name], asked, file_mark)

    def _read_amount(
        self, name: str, candidate: _Amounts, asked: Decimal | None, file_mark: Decimal | None
    ) -> None:
        series, marks = self.columns_as_text(name), candidate.by_mark
        mark = asked or (next(iter(marks)) if len(marks) == 1 else file_mark)
        is_open = mark is None and len(marks) > 1 and not _same(marks)
        mark = mark or ("," if self.text.separator == ";" else ".")
        if mark not in marks:
            self._refuse_mark(series)
            return
        amount = marks[mark]
        units = [u for u in amount.units if u]
        if len(units) > 1 or ("%" in units and "" in amount.units):
            self._doubt_units(series, amount)
            return
        if amount.codes:
            self.notes.append(ColumnNote(name, "numbers with leading zeros: taken as text"))
            self.columns[name] = series
            return
        self._tell_strays(series, candidate.stray, "numbers")
        values = amount.values
        whole = values.cast(pl.Int64, strict=False)
        is_whole = whole.null_count() == values.null_count() and bool(
            (whole.cast(pl.Float64) == values).all()
        )
        self.columns[name] = whole if is_whole else values
        example = _example(series, candidate.stray)
        if example is None:
            return  # plain numbers beside words for gaps
        row, written = example
        self.readings[name] = Reading(
            decimal=mark, unit=units[0] if units else None, written=written
        )
        note = f"read as numbers, {written!r} as {_number(values[row])}"
        if is_open:
            other: Decimal = "." if mark == "," else ","
            wrong = f'{_number(marks[other].values[row])}, write `data.decimal: "{other}"`'
            note += (
                f"; the file does not tell whether {mark!r} stands before decimals: if it should "
                f"be {wrong}"
            )
        self.notes.append(ColumnNote(name, note))

    def columns_as_text(self, name: str) -> pl.Series:
        """A column as it stands in the file, with null for gaps."""
        return blank_to_null(self.text.frame[name])

    def _refuse_mark(self, series: pl.Series) -> None:
        """A column that is no column of numbers with the decimal mark that was asked for."""
        mark = self.style.decimal
        assert mark is not None
        misfit = (
            amounts(series, mark).values.is_null()
            & series.is_not_null()
            & ~is_stray(series).fill_null(False)
        )
        row = misfit.arg_max() or 0
        self.columns[series.name] = series
        self.doubts[series.name] = Doubt(
            f"{series[row]!r} ({self.text.line(row)}) is no number with {mark!r} before the "
            f"decimals",
            "correct `data.decimal`, or write that value with the same mark as the others",
        )

    def _doubt_units(self, series: pl.Series, amount: Amounts) -> None:
        units = _quoted([u or "no unit" for u in amount.units])
        self.columns[series.name] = series
        self.doubts[series.name] = Doubt(
            f"holds numbers with different units, {units}, which do not compare",
            "write all of them in one unit",
        )

    def _tell_strays(self, series: pl.Series, stray: pl.Series, others: str) -> None:
        words = sorted(series.filter(stray).unique().to_list())
        if words:
            what = (
                f"{_quoted(words)} taken as missing in {_rows(int(stray.sum()))}, all others are "
                f"{others}"
            )
            self.notes.append(ColumnNote(series.name, what))

    # -- dates -------------------------------------------------------------------------------------

    def _read_dates(self, columns: list[pl.Series]) -> None:
        found = {}
        for series in columns:
            stray = is_stray(series).fill_null(False)
            dates = (
                find_dates(series.set(stray, None), self.style.dates)
                if _has_digits(series)
                else None
            )
            if dates is None:
                self._doubt(series)
            else:
                found[series.name] = (series, stray, dates)
        sure: set[Order] = {
            d.orders[0]
            for _, _, d in found.values()
            if len(d.orders) == 1 and d.form and "." not in d.form
        }
        for name, (series, stray, dates) in found.items():
            is_open = len(dates.orders) > 1 and self.style.dates is None
            if is_open and len(sure) == 1:  # the other columns of the file tell
                dates = find_dates(series.set(stray, None), next(iter(sure))) or dates
            self._tell_strays(series, stray, "dates")
            self.columns[name] = dates.values
            if dates.form is None:
                continue
            row, written = next(
                (i, v) for i, v in enumerate(series.set(stray, None)) if v is not None
            )
            self.readings[name] = Reading(dates=dates.form, written=written)
            note = f"{written!r} read as the date {dates.values[row]}"
            if is_open and len(sure) != 1:
                other = "month_first" if dates.form.startswith("%d") else "day_first"
                hint = f"if that is wrong, write `data.dates: {other}`"
                note += f"; no value tells whether the day or the month comes first: {hint}"
            self.notes.append(ColumnNote(name, note))

    # -- what stays text ---------------------------------------------------------------------------

    def _doubt(self, series: pl.Series) -> None:
        """Say of a column of text that was nearly numbers or dates why it is not, and what to
        write.
        """
        if not _has_digits(series):
            return
        doubt = self._nearly_numbers(series) or self._nearly_dates(series) or _with_units(series)
        if doubt is not None:
            self.doubts[series.name] = doubt

    def _nearly_numbers(self, series: pl.Series) -> Doubt | None:
        stray = is_stray(series).fill_null(False)
        read = {mark: amounts(series, mark).values for mark in MARKS}
        mark = min(MARKS, key=lambda m: read[m].null_count())
        misfit = read[mark].is_null() & series.is_not_null()
        if misfit.all():
            return None
        share = 1 - int(misfit.sum()) / series.count()
        other: Decimal = "," if mark == "." else "."
        mixed = misfit & read[other].is_not_null()
        row = (misfit & ~stray).arg_max() or 0
        if share < MIN_SHARE:
            if 1 - (misfit & ~mixed).sum() / series.count() < MIN_SHARE:
                return None
            row = mixed.arg_max() or 0
            fitting = read[mark].is_not_null() & read[other].is_null()
            first = series[fitting.arg_max() or 0]
            return Doubt(
                f"some values have a decimal point and some a decimal comma, such as {first!r} "
                f"and {series[row]!r} "
                f"({self.text.line(row)})",
                "write one of them everywhere",
            )
        return Doubt(
            f"{_percent(share)} of the values are numbers, but {series[row]!r} "
            f"({self.text.line(row)}) is not",
            "leave that value empty to have numbers",
        )

    def _nearly_dates(self, series: pl.Series) -> Doubt | None:
        present = series.drop_nulls()
        alike = present.str.contains(_DATE_LIKE)
        if alike.sum() / present.len() < MIN_SHARE:
            return None
        sample = present.filter(alike).unique(maintain_order=True)
        forms = [
            (form, series.str.strptime(pl.Date, form, strict=False).null_count())
            for s in "/-."
            for form in (f"%d{s}%m{s}%Y", f"%m{s}%d{s}%Y", f"%Y{s}%m{s}%d")
        ]
        form, _ = min(forms, key=lambda pair: pair[1])
        misfit = series.str.strptime(pl.Date, form, strict=False).is_null() & series.is_not_null()
        row = misfit.arg_max() or 0
        odd = f"{series[row]!r} ({self.text.line(row)})"
        what = (
            f"looks like dates such as {sample[0]!r}, but no one form fits all of them: {odd} "
            f"has another"
        )
        return Doubt(what, "write them as 2024-05-31, or leave that value empty")


def _with_units(series: pl.Series) -> Doubt | None:
    present = series.drop_nulls()
    units = present.str.extract(_UNIT, 1)
    if (
        units.null_count() > (1 - MIN_SHARE) * present.len()
        or units.drop_nulls().n_unique() > FEW_UNITS
    ):
        return None
    if present.n_unique() <= 2 * FEW_UNITS:  # a few words that begin with a digit are categories
        return None
    unit = units.drop_nulls()[0]
    return Doubt(
        f"holds numbers with {unit!r} after them, such as {present[0]!r}",
        "write the numbers alone (the unit can stand in the column's name)",
    )


def _all_amounts(series: pl.Series, marks: Iterable[Decimal] = MARKS) -> _Amounts | None:
    """The column as numbers, by the marks with which all its values are numbers or words for a
    gap; None when with none.
    """
    if not _has_digits(series):
        return None
    stray = is_stray(series).fill_null(False)
    wanted = series.set(stray, None)
    sample = wanted.drop_nulls().head(1)
    found: dict[Decimal, Amounts] = {}
    for mark in marks:
        if sample.is_empty() or amounts(sample, mark).values.null_count():
            continue
        read = amounts(wanted, mark)
        if read.values.null_count() == wanted.null_count():
            found[mark] = read
    return _Amounts(found, stray) if found else None


def _same(marks: dict[Decimal, Amounts]) -> bool:
    """Whether both readings give the same numbers."""
    return marks["."].values.equals(marks[","].values)


def _has_digits(series: pl.Series) -> bool:
    """Whether at least half of the values hold a digit: what else is neither number nor date."""
    present = series.drop_nulls()
    return not present.is_empty() and 2 * int(present.head(100).str.contains(r"\d").sum()) >= min(
        100, present.len()
    )


def _example(series: pl.Series, stray: pl.Series) -> tuple[int, str] | None:
    """The row and the text of the value that tells most about the writing: the longest that is
    no plain number.
    """
    odd = (
        series.set(stray, None).cast(pl.Float64, strict=False).is_null()
        & series.is_not_null()
        & ~stray
    )
    if not odd.any():
        odd = series.str.contains(".", literal=True) & ~stray
        if not odd.fill_null(False).any():
            return None
    lengths = series.set(~odd.fill_null(False), None).str.len_chars().fill_null(0)
    row = lengths.arg_max()
    assert row is not None
    return row, series[row]


def _number(value: float) -> str:
    return re.sub(r"\.0$", "", repr(float(value)))


def _percent(share: float) -> str:
    """In whole percent, never 100 where something is missing."""
    return f"{min(99, int(100 * share))}%"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _quoted(words: list[str]) -> str:
    shown = [repr(word) for word in words[:8]] + (
        [f"{len(words) - 8} more"] if len(words) > 8 else []
    )
    return " and ".join(shown)
