"""Files of text: read as text, then a type for each column from what all its values say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from winnow.data._amounts import MARKS, Amounts, Decimal, amounts
from winnow.data._dates import Dates, Order, find_dates
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
# A gap among numbers and dates, in upper or lower case
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
)
# Of the values of a text column: from here on what does not fit the rest is worth a note
MIN_SHARE = 0.9
# Different words after numbers that are taken for units; more are part of an address or a name
FEW_UNITS = 3

_CODE, _HUGE = r"^0\d+$", r"^[-+]?\d{17,}$"
_UNIT = r"^[-+]?\d[\d.,' ]*\s*([^\d\s].{0,15})$"
_DATE_LIKE = r"^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b"
_DATE_FORMS = [
    form
    for mark in "/-."
    for form in (f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y", f"%Y{mark}%m{mark}%d")
]


def read_csv(path: Path, style: Style | None = None) -> TypedFrame:
    """Return a frame of whole numbers, numbers, booleans, dates and text; how each column was read;
    and notes on what was decided.

    Args:
        path: of the file.
        style: how its text is written, as far as that is known; None: nothing is.

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
    """Return a column of text with null where a marker of a gap stands."""
    return series.set(series.is_in(list(MARKERS)), None)


def is_stray(series: pl.Series) -> pl.Series:
    """Say of each value whether it is a word for a gap where numbers or dates are expected."""
    return series.str.to_lowercase().is_in(list(STRAYS))


@dataclass(frozen=True)
class _Amounts:
    """A column of numbers, gaps and stray words.

    Attributes:
        by_mark: the numbers, by each decimal mark with which all of them are numbers.
        stray: which values are words for a gap.
    """

    by_mark: dict[Decimal, Amounts]
    stray: pl.Series


@dataclass
class _Columns:
    """The columns of a file on their way from text to types.

    Attributes:
        text: the file.
        style: how its text is written, as far as the recipe says so.
        columns: by name, in the order of the file, each in the type that is found.
        readings: how text was read, of the columns where that needs saying.
        doubts: why columns that are nearly numbers or dates are text.
        notes: what was decided.
    """

    text: Text
    style: Style
    columns: dict[str, pl.Series] = field(default_factory=dict)
    readings: dict[str, Reading] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def read(self) -> None:
        """Find the type of every column."""
        frame = self.text.frame
        # Everything at once where it can be: a call for each of thousands of columns would take
        # seconds.
        is_gap = pl.all().is_in(list(MARKERS))
        present = frame.select(pl.when(is_gap).then(None).otherwise(pl.all()).name.keep())
        numbers = present.select(pl.all().cast(pl.Float64, strict=False))
        whole = present.select(pl.all().cast(pl.Int64, strict=False))
        # Of numbers: those with a leading zero, and those that are larger than any 64 bits hold
        is_odd = present.select(pl.all().str.contains(rf"{_CODE}|{_HUGE}").any()).row(0)
        empty = frame.select((pl.all() == "").sum()).row(0)
        gaps = present.null_count().row(0)
        no_number = numbers.null_count().row(0)
        not_whole = whole.null_count().row(0)
        plain: list[pl.Series] = []
        rest: list[pl.Series] = []
        for i, name in enumerate(frame.columns):
            series = present.to_series(i)
            self.columns[name] = series
            if gaps[i] > empty[i]:
                self._tell_markers(frame.to_series(i), series)
            if gaps[i] == frame.height:
                self.columns[name] = series.cast(pl.Null)
            elif no_number[i] > gaps[i]:
                rest.append(series)
            elif is_odd[i] and series.str.contains(_CODE).any():
                self._keep_codes(series)
            elif not_whole[i] == gaps[i]:
                self.columns[name] = whole.to_series(i)
            else:
                self.columns[name] = numbers.to_series(i)
                plain.append(series)
                # Whole numbers of 64 bits are looked at as such
                if is_odd[i]:
                    self.notes.append(ColumnNote(name, TOO_LARGE))
        self._read_rest(rest, plain)

    def _keep_codes(self, series: pl.Series) -> None:
        """Leave a column as the text that it is, since numbers have no leading zeros."""
        self.columns[series.name] = series
        self.notes.append(ColumnNote(series.name, "numbers with leading zeros: taken as text"))

    def _tell_markers(self, text: pl.Series, series: pl.Series) -> None:
        """Note which words were taken for gaps."""
        words = text.filter(series.is_null() & (text != ""))
        written, count = sorted(words.unique().to_list()), len(words)
        self.notes.append(
            ColumnNote(text.name, f"{_quoted(written)} taken as missing in {_rows(count)}")
        )

    # -- what is no plain number -------------------------------------------------------------------

    def _read_rest(self, rest: list[pl.Series], plain: list[pl.Series]) -> None:
        """Find amounts, booleans and dates.

        Args:
            rest: the text of columns that are no plain numbers.
            plain: the text of columns that are, but not whole ones.
        """
        found: dict[str, _Amounts] = {}
        dates: list[pl.Series] = []
        for series in rest:
            candidate = _all_amounts(series)
            if candidate is not None:
                found[series.name] = candidate
            elif not self._read_boolean(series):
                dates.append(series)
        self._read_amounts(found, plain)
        self._read_dates(dates)

    def _read_boolean(self, series: pl.Series) -> bool:
        """Take a column of true and false for that; say whether it is one."""
        low = series.str.to_lowercase()
        if not low.drop_nulls().is_in(["true", "false"]).all():
            return False
        self.columns[series.name] = low == "true"
        return True

    def _read_amounts(self, found: dict[str, _Amounts], plain: list[pl.Series]) -> None:
        """Take numbers in people's writing for numbers.

        Which mark stands before the decimals, the file as a whole tells where a column does not.

        Args:
            found: columns that are numbers with one mark or another; columns of ``plain`` are added
                where the mark is a comma.
            plain: the text of columns of plain numbers that are not whole.
        """
        marks = [set(candidate.by_mark) for candidate in found.values()]
        only_comma, only_point = {","} in marks, {"."} in marks
        asked = self.style.decimal
        if only_comma or asked == ",":
            commas = {series.name: _all_amounts(series, (",",)) for series in plain}
            only_point = only_point or None in commas.values()
            if asked == "," or not only_point:  # 1.234 is then a whole number
                for series in plain:
                    candidate = commas[series.name]
                    if candidate is None:
                        self._refuse_mark(series)
                    else:
                        found[series.name] = candidate
        else:
            only_point = only_point or bool(plain)
        file_mark: Decimal | None = None
        if only_comma != only_point:
            file_mark = "," if only_comma else "."
        for name in self.text.frame.columns if found else ():
            if name in found:
                self._read_amount(name, found[name], asked, file_mark)

    def _read_amount(
        self, name: str, candidate: _Amounts, asked: Decimal | None, file_mark: Decimal | None
    ) -> None:
        """Take one column for numbers, or say why it stays text.

        Args:
            name: of the column.
            candidate: its numbers.
            asked: the mark before decimals that the recipe names; None: it names none.
            file_mark: the mark that the other columns tell; None: they do not.
        """
        series, marks = self.columns_as_text(name), candidate.by_mark
        mark = asked or (next(iter(marks)) if len(marks) == 1 else file_mark)
        is_open = mark is None and len(marks) > 1 and not _same(marks)
        mark = mark or ("," if self.text.separator == ";" else ".")
        if mark not in marks:
            self._refuse_mark(series)
            return
        amount = marks[mark]
        units = [unit for unit in amount.units if unit]
        if len(units) > 1 or ("%" in units and "" in amount.units):
            self._doubt_units(series, amount)
            return
        if amount.codes:
            self._keep_codes(series)
            return
        self._tell_strays(series, candidate.stray, "numbers")
        self.columns[name] = _whole_if_it_is(amount.values)
        example = _example(series, candidate.stray)
        if example is None:
            return  # plain numbers beside words for gaps
        row, written = example
        unit = units[0] if units else None
        self.readings[name] = Reading(decimal=mark, unit=unit, written=written)
        note = f"read as numbers, {written!r} as {_number(amount.values[row])}"
        if is_open:
            other = _other(mark)
            wrong = f'{_number(marks[other].values[row])}, write `data.decimal: "{other}"`'
            note += (
                f"; the file does not tell whether {mark!r} stands before decimals: if it should "
                f"be {wrong}"
            )
        self.notes.append(ColumnNote(name, note))

    def columns_as_text(self, name: str) -> pl.Series:
        """Return a column as it stands in the file, with null for gaps."""
        return blank_to_null(self.text.frame[name])

    def _refuse_mark(self, series: pl.Series) -> None:
        """Leave a column as text that is none of numbers with the mark that was asked for."""
        mark = self.style.decimal
        assert mark is not None
        no_number = amounts(series, mark).values.is_null() & series.is_not_null()
        row = (no_number & ~_strays(series)).arg_max() or 0
        self.columns[series.name] = series
        self.doubts[series.name] = Doubt(
            f"{series[row]!r} ({self.text.line(row)}) is no number with {mark!r} before the "
            f"decimals",
            "correct `data.decimal`, or write that value with the same mark as the others",
        )

    def _doubt_units(self, series: pl.Series, amount: Amounts) -> None:
        """Leave a column as text whose numbers have several units."""
        units = _quoted([unit or "no unit" for unit in amount.units])
        self.columns[series.name] = series
        self.doubts[series.name] = Doubt(
            f"holds numbers with different units, {units}, which do not compare",
            "write all of them in one unit",
        )

    def _tell_strays(self, series: pl.Series, stray: pl.Series, others: str) -> None:
        """Note which words were taken for gaps among values that are all of one kind."""
        words = sorted(series.filter(stray).unique().to_list())
        if not words:
            return
        count = _rows(int(stray.sum()))
        what = f"{_quoted(words)} taken as missing in {count}, all others are {others}"
        self.notes.append(ColumnNote(series.name, what))

    # -- dates -------------------------------------------------------------------------------------

    def _read_dates(self, columns: list[pl.Series]) -> None:
        """Take columns of dates for dates, and say of others why they are not.

        Whether the day or the month comes first, the other columns tell where one does not.
        """
        found: list[_Dates] = []
        for series in columns:
            stray = _strays(series)
            known = series.set(stray, None)
            dates = find_dates(known, self.style.dates) if _has_digits(series) else None
            if dates is None:
                self._doubt(series)
            else:
                found.append(_Dates(series, stray, known, dates))
        sure = {one.dates.orders[0] for one in found if one.tells_order}
        for one in found:
            self._read_date(one, sure)

    def _read_date(self, column: _Dates, sure: set[Order]) -> None:
        """Take one column for dates.

        Args:
            column: it.
            sure: the orders of day and month that other columns of the file tell.
        """
        name, dates = column.series.name, column.dates
        is_open = len(dates.orders) > 1 and self.style.dates is None
        if is_open and len(sure) == 1:
            dates = find_dates(column.known, next(iter(sure))) or dates
        self._tell_strays(column.series, column.stray, "dates")
        self.columns[name] = dates.values
        if dates.form is None:
            return
        row = column.known.is_not_null().arg_max() or 0
        written = column.known[row]
        self.readings[name] = Reading(dates=dates.form, written=written)
        note = f"{written!r} read as the date {dates.values[row]}"
        if is_open and len(sure) != 1:
            other = "month_first" if dates.form.startswith("%d") else "day_first"
            hint = f"if that is wrong, write `data.dates: {other}`"
            note += f"; no value tells whether the day or the month comes first: {hint}"
        self.notes.append(ColumnNote(name, note))

    # -- what stays text ---------------------------------------------------------------------------

    def _doubt(self, series: pl.Series) -> None:
        """Say of a column of text that is nearly numbers or dates why it is neither."""
        if not _has_digits(series):
            return
        doubt = self._nearly_numbers(series) or self._nearly_dates(series) or _with_units(series)
        if doubt is not None:
            self.doubts[series.name] = doubt

    def _nearly_numbers(self, series: pl.Series) -> Doubt | None:
        """Return why a column is not numbers that for the most part is; None: it is far from it."""
        read = {mark: amounts(series, mark).values for mark in MARKS}
        mark = min(MARKS, key=lambda m: read[m].null_count())
        is_other = read[_other(mark)].is_not_null()
        misfit = read[mark].is_null() & series.is_not_null()
        if misfit.all():
            return None
        share = 1 - int(misfit.sum()) / series.count()
        if share >= MIN_SHARE:
            row = (misfit & ~_strays(series)).arg_max() or 0
            return Doubt(
                f"{_percent(share)} of the values are numbers, but {series[row]!r} "
                f"({self.text.line(row)}) is not",
                "leave that value empty to have numbers",
            )
        if 1 - int((misfit & ~is_other).sum()) / series.count() < MIN_SHARE:
            return None
        first = series[(read[mark].is_not_null() & ~is_other).arg_max() or 0]
        row = (misfit & is_other).arg_max() or 0
        return Doubt(
            f"some values have a decimal point and some a decimal comma, such as {first!r} and "
            f"{series[row]!r} ({self.text.line(row)})",
            "write one of them everywhere",
        )

    def _nearly_dates(self, series: pl.Series) -> Doubt | None:
        """Return why a column is not dates whose values look like some; None: they do not."""
        present = series.drop_nulls()
        alike = present.str.contains(_DATE_LIKE)
        if alike.sum() / present.len() < MIN_SHARE:
            return None
        first = present.filter(alike)[0]
        misfits = [_not_of_form(series, form) for form in _DATE_FORMS]
        misfit = min(misfits, key=lambda of_form: int(of_form.sum()))
        row = misfit.arg_max() or 0
        odd = f"{series[row]!r} ({self.text.line(row)})"
        what = f"looks like dates such as {first!r}, but no one form fits all of them: {odd}"
        return Doubt(f"{what} has another", "write them as 2024-05-31, or leave that value empty")


@dataclass(frozen=True)
class _Dates:
    """A column that is all dates, gaps and stray words.

    Attributes:
        series: its text.
        stray: which values are words for a gap.
        known: its text without these.
        dates: what was found.
    """

    series: pl.Series
    stray: pl.Series
    known: pl.Series
    dates: Dates

    @property
    def tells_order(self) -> bool:
        """Whether it says for the whole file if the day or the month comes first: dates with
        points are written with the day first everywhere.
        """
        form = self.dates.form
        return len(self.dates.orders) == 1 and bool(form) and "." not in (form or "")


def _not_of_form(series: pl.Series, form: str) -> pl.Series:
    """Say of each value whether it is no date of a form of ``strptime``."""
    return series.str.strptime(pl.Date, form, strict=False).is_null() & series.is_not_null()


def _with_units(series: pl.Series) -> Doubt | None:
    """Return that there is a unit behind most numbers; None: there is not, or they are words."""
    present = series.drop_nulls()
    units = present.str.extract(_UNIT, 1)
    without, different = units.null_count(), units.drop_nulls().n_unique()
    if without > (1 - MIN_SHARE) * present.len() or different > FEW_UNITS:
        return None
    if present.n_unique() <= 2 * FEW_UNITS:  # a few words that begin with a digit are categories
        return None
    unit = units.drop_nulls()[0]
    return Doubt(
        f"holds numbers with {unit!r} after them, such as {present[0]!r}",
        "write the numbers alone (the unit can stand in the column's name)",
    )


def _all_amounts(series: pl.Series, marks: Iterable[Decimal] = MARKS) -> _Amounts | None:
    """Return a column as numbers; None where some of its values are neither numbers nor words for a
    gap, whatever the mark.

    Args:
        series: its text.
        marks: before decimals, each of which is tried.
    """
    if not _has_digits(series):
        return None
    stray = _strays(series)
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


def _strays(series: pl.Series) -> pl.Series:
    """Say of each value whether it is a word for a gap; a gap itself is none."""
    return is_stray(series).fill_null(False)


def _other(mark: Decimal) -> Decimal:
    return "." if mark == "," else ","


def _whole_if_it_is(values: pl.Series) -> pl.Series:
    """Return numbers as whole ones where all of them are."""
    whole = values.cast(pl.Int64, strict=False)
    if whole.null_count() > values.null_count():
        return values
    return whole if (whole.cast(pl.Float64) == values).all() else values


def _same(marks: dict[Decimal, Amounts]) -> bool:
    """Say whether both readings give the same numbers."""
    return marks["."].values.equals(marks[","].values)


def _has_digits(series: pl.Series) -> bool:
    """Say whether at least half of the first values hold a digit, without which there is neither a
    number nor a date.
    """
    first = series.drop_nulls().head(100)
    with_digit = int(first.str.contains(r"\d").sum())
    return not first.is_empty() and 2 * with_digit >= first.len()


def _example(series: pl.Series, stray: pl.Series) -> tuple[int, str] | None:
    """Return the row and the text of the value that tells most about the writing: the longest that
    is no plain number, else the longest with a point; None: there is neither.
    """
    known = series.set(stray, None)
    telling = known.cast(pl.Float64, strict=False).is_null() & known.is_not_null()
    if not telling.any():
        telling = known.str.contains(".", literal=True).fill_null(False)
    if not telling.any():
        return None
    lengths = known.set(~telling, None).str.len_chars().fill_null(0)
    row = lengths.arg_max()
    assert row is not None
    return row, series[row]


def _number(value: float) -> str:
    """Return a number as short as it can be: ``12`` for 12.0."""
    return re.sub(r"\.0$", "", repr(float(value)))


def _percent(share: float) -> str:
    """Return a share in whole percent, never 100 where something is missing."""
    return f"{min(99, int(100 * share))}%"


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _quoted(words: list[str]) -> str:
    """Return the first words in quotation marks, and how many more there are."""
    shown = [repr(word) for word in words[:8]]
    if len(words) > 8:
        shown.append(f"{len(words) - 8} more")
    return " and ".join(shown)
