"""Files of text to frames of text: the encoding, the separator, the records, and on which line
of the file each begins.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import polars as pl

from winnow.errors import DataError
from winnow.recipe import Data

__all__ = ["PLAIN", "TEXT_FILES", "Style", "Text", "read_text"]

TEXT_FILES = (".csv", ".tsv")

_SEPARATORS = (",", ";", "\t", "|")
_MARKS = {  # bytes that a file may begin with, and what they say; the longer ones first
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 2**22
# Characters; the csv module's own limit is far below what people put into tables
_LONGEST_FIELD = 2**24


@dataclass(frozen=True)
class Style:
    """How a file is written, as far as the recipe says it; None: it is found.

    Attributes:
        encoding: of the bytes, by a name that Python knows.
        separator: between fields.
        decimal: the mark before the decimals.
        dates: whether the day or the month comes first in dates that do not begin with the year.
        otherwise: the encoding of what is no UTF-8; None: Windows' Western European.
    """

    encoding: str | None = None
    separator: str | None = None
    decimal: Literal[".", ","] | None = None
    dates: Literal["day_first", "month_first"] | None = None
    otherwise: str | None = None

    @staticmethod
    def of(data: Data) -> Style:
        """Return what the recipe says."""
        return Style(data.encoding, data.separator, data.decimal, data.dates)


PLAIN = Style()


@dataclass(frozen=True)
class Text:
    """A table of text.

    Attributes:
        frame: all columns as text, stripped of blanks; "" for a field that is empty or absent.
        path: of the file.
        encoding: of its bytes.
        separator: between its fields.
        notes: what was decided on the way.
    """

    frame: pl.DataFrame
    path: Path
    encoding: str
    separator: str
    notes: list[str] = field(default_factory=list)

    @cached_property
    def lines(self) -> Lines:
        """Where the rows stand in the file; it holds no row itself."""
        return Lines(self.path, self.encoding, self.separator, *self.frame.shape)

    def line(self, row: int) -> str:
        """Return ``line 12``: where a row begins in the file, from 1; ``row 10`` where the records
        of the file cannot be told apart.
        """
        return self.lines.line(row)


@dataclass(frozen=True)
class Lines:
    """Where the rows of a file begin, read again from the file when somebody asks."""

    path: Path
    encoding: str
    separator: str
    height: int
    width: int

    def line(self, row: int) -> str:
        """As ``Text.line``."""
        return f"line {self._lines[row]}" if row < len(self._lines) else f"row {row}"

    @cached_property
    def _lines(self) -> list[int]:
        try:
            found = [
                record.line
                for record in _records(self.path, self.encoding, self.separator)
                if self._counts(record)
            ]
        except (csv.Error, OSError, UnicodeDecodeError):  # or the file has changed meanwhile
            return []
        return found[1:] if len(found) == self.height + 1 else []

    def _counts(self, record: _Record) -> bool:
        return any(value.strip() for value in record.fields) or (
            self.width == 1 and bool(record.fields)
        )


@dataclass(frozen=True)
class _Record:
    line: int
    fields: list[str]


def read_text(path: Path, style: Style | None = None) -> Text:
    """Return all columns of a file as text, stripped of blanks; names too.

    Raises:
        DataError: no rows, bytes that the encoding does not know, a record with more fields than
            there are names (its line is told), a column name that stands twice.
    """
    style = style or Style()
    encoding, notes = _encoding(path, style.encoding, style.otherwise)
    head = _head(path, encoding)
    if not head.strip():
        raise DataError(
            f"data.source: {path} is empty: expected a line of column names and rows below it"
        )
    default = "\t" if path.suffix.lower() == ".tsv" else ","
    separator = style.separator or _separator(head, default)
    if separator != default and style.separator is None:
        notes.append(f"fields are separated by {separator!r}")
    frame, remarks = _read(
        path, encoding, separator, plain="\n" in head and not head.startswith(("\n", "\r"))
    )
    named = _named(frame, path, separator, notes := [*notes, *remarks])
    return Text(named, path, encoding, separator, notes)


# -- bytes to characters ---------------------------------------------------------------------------


def _encoding(path: Path, asked: str | None, otherwise: str | None) -> tuple[str, list[str]]:
    """Return the encoding of a file and notes on how it was found. What is no UTF-8 is taken as
    Windows' Western European.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if asked is not None:
        _check_encoding(path, asked)
        return asked, []
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name, [] if name == "utf-8-sig" else [f"the file is {name.upper()}"]
    if wide := _wide(start):
        return wide, [f"the file is {wide.upper()} (every second byte is zero)"]
    if _can_decode(path, "utf-8"):
        return "utf-8", []
    if otherwise is not None and _can_decode(path, otherwise):
        return otherwise, []
    name = "cp1252" if _can_decode(path, "cp1252") else "latin-1"
    called = "Windows-1252" if name == "cp1252" else "Latin-1"
    sample = _sample(path, name)
    return name, [
        f"the file is not UTF-8: read as {called} (Western European), such as {sample!r}; if "
        f"that looks wrong, write its "
        "encoding, e.g. `data.encoding: cp1250`, cp1251 or gbk"
    ]


def _wide(start: bytes) -> str | None:
    """UTF-16 without a mark: in text that is mostly ASCII every second byte is zero."""
    size = len(start) // 2
    if size < 4 or b"\x00" not in start:
        return None
    if start[1::2].count(0) > 0.8 * size:
        return "utf-16-le"
    return "utf-16-be" if start[0::2].count(0) > 0.8 * size else None


def _can_decode(path: Path, encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as file:
        try:
            while piece := file.read(_CHUNK):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _check_encoding(path: Path, asked: str) -> None:
    """Raises DataError, with the line, when the bytes are not of the encoding that was asked
    for.
    """
    line = 0
    with path.open("rb") as file:
        decoder = codecs.getincrementaldecoder(asked)()
        try:
            for raw in file:
                line += 1
                decoder.decode(raw)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            bad = error.object[error.start : error.start + 1].hex()
            raise DataError(
                f"data.encoding: {path} is not {asked}: line {line} holds the byte 0x{bad}, "
                f"which has no meaning there; leave "
                "the setting out to have the encoding found"
            ) from None


def _sample(path: Path, encoding: str) -> str:
    """Return the first word with a letter that is not ASCII."""
    with path.open(encoding=encoding, newline="") as file:
        for line in file:
            if found := re.search(r"[\w ]*[^\x00-\x7f][\w ]*", line):
                return found[0].strip()[:40]
    return ""


def _head(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding, newline="") as file:
        return file.read(2**16)


def _separator(head: str, default: str) -> str:
    """Return the separator that occurs most often in the first line with anything in it;
    ``default`` when none does.
    """
    lines = [line for line in head.splitlines() if line.strip()]
    first = re.sub(r'"[^"]*"', "", lines[0])
    order = (default, *(s for s in _SEPARATORS if s != default))
    return max(order, key=lambda s: (first.count(s), -order.index(s)))


# -- characters to records -------------------------------------------------------------------------


def _read(
    path: Path, encoding: str, separator: str, *, plain: bool
) -> tuple[pl.DataFrame, list[str]]:
    """Return the records as a frame of text, the names among them as its first row."""
    try:
        if len(separator) > 1 or not separator.isascii():
            raise pl.exceptions.ComputeError("no separator for polars")
        source: Path | io.BytesIO = path
        if not plain or encoding not in ("utf-8", "utf-8-sig"):
            source = _normalized(path, encoding)
        frame = pl.read_csv(source, separator=separator, has_header=False, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        frame, notes = _slowly(path, encoding, separator)
    else:
        notes = _short_records(frame, path, encoding, separator)
    frame = frame.select(pl.all().str.strip_chars().fill_null(""))
    if frame.width == 1:
        return frame, notes
    is_empty = frame.select(pl.all_horizontal(pl.all() == "")).to_series()
    if is_empty.any():
        notes.append(f"{int(is_empty.sum())} empty lines were passed over")
        frame = frame.filter(~is_empty)
    return frame, notes


def _normalized(path: Path, encoding: str) -> io.BytesIO:
    """Return the file in UTF-8, its lines ended by a newline, without empty ones at the start."""
    text = path.read_text(encoding=encoding)  # translates all ends of lines
    return io.BytesIO(text.lstrip("\n\ufeff").encode("utf-8", "replace"))


def _slowly(path: Path, encoding: str, separator: str) -> tuple[pl.DataFrame, list[str]]:
    """What polars does not read: said why, with the line, or read record by record when only
    its quotes are unusual.
    """
    what = f"data.source: cannot read {path} as CSV (separator {separator!r})"
    try:
        _check_quotes(path, encoding, separator, what)
        records = [r for r in _records(path, encoding, separator) if r.fields]
    except csv.Error as error:
        raise DataError(f"{what}: {error}") from None
    width = len(records[0].fields)
    long = [r for r in records if len(r.fields) > width]
    if long:
        more = f", and {len(long) - 1} more such lines" if len(long) > 1 else ""
        hint = ""
        if len(long) == len(records) - 1:
            hint = (
                "; every row has more fields than there are names: is a name missing in the "
                "first line?"
            )
        elif separator == "," and any(re.fullmatch(r"\d+", field) for field in long[0].fields):
            hint = "; a comma inside a field needs quotes around the field"
        raise DataError(
            f"{what}: found more fields than names: line {long[0].line} has "
            f"{len(long[0].fields)} fields, the first line names "
            f"{width}{more}{hint}"
        )
    columns = [[r.fields[i] if i < len(r.fields) else "" for r in records] for i in range(width)]
    frame = pl.DataFrame(
        {f"column_{i + 1}": pl.Series(values, dtype=pl.String) for i, values in enumerate(columns)}
    )
    return frame, _told_short([r for r in records if len(r.fields) < width], width)


def _check_quotes(path: Path, encoding: str, separator: str, what: str) -> None:
    """Raises DataError when a quote is opened and never closed."""
    last = 0
    try:
        for record in _records(path, encoding, separator, strict=True):
            last = record.line + sum(field.count("\n") for field in record.fields)
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise DataError(
                f"{what}: the record that begins on line {last + 1} opens a quote that is never "
                f"closed"
            ) from None


def _records(
    path: Path, encoding: str, separator: str, *, strict: bool = False
) -> Iterator[_Record]:
    """Yield the records and the lines on which they begin, from 1."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding=encoding, newline="") as file:
            reader = csv.reader(file, delimiter=separator, strict=strict)
            line = 1
            for fields in reader:
                yield _Record(line, fields)
                line = reader.line_num + 1
    finally:
        csv.field_size_limit(before)


def _short_records(frame: pl.DataFrame, path: Path, encoding: str, separator: str) -> list[str]:
    """Return a note on records that end before the last column, which polars fills up in
    silence.
    """
    if frame.width == 1 or frame.to_series(frame.width - 1).null_count() == 0:
        return []
    try:
        records = [
            r
            for r in _records(path, encoding, separator)
            if r.fields and len(r.fields) < frame.width
        ]
    except csv.Error:
        return []
    return _told_short(records, frame.width)


def _told_short(records: list[_Record], width: int) -> list[str]:
    if not records:
        return []
    first = records[0]
    lines = ", ".join(str(r.line) for r in records[:5]) + (
        f" and {len(records) - 5} more" if len(records) > 5 else ""
    )
    many = f"lines {lines} have" if len(records) > 1 else f"line {lines} has"
    count = f"{len(first.fields)} of" if len(records) == 1 else "fewer than"
    return [f"{many} {count} {width} fields: what is not there is taken as missing"]


# -- names -----------------------------------------------------------------------------------------


def _named(frame: pl.DataFrame, path: Path, separator: str, notes: list[str]) -> pl.DataFrame:
    """Return the frame with the names in its first row. A column without a name that counts the
    rows is an index, and left out.
    """
    names = list(frame.row(0))
    frame = frame[1:]
    if frame.height == 0:
        raise DataError(f"data.source: {path} has column names but no rows")
    twice = sorted(name for name, count in Counter(names).items() if name and count > 1)
    if twice:
        raise DataError(
            f"data.source: expected one column for each name, {path} has {twice[0]!r} "
            f"{names.count(twice[0])} times"
        )
    if len(names) > 1 and all(
        re.fullmatch(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?", name) for name in names
    ):
        start = separator.join(names[:4])
        notes.append(
            f"the first line holds numbers only ({start}...): it was taken as the names of the "
            f"columns"
        )
    keep = []
    known = set(names)
    for i, name in enumerate(names):
        if not name:
            numbers = frame.to_series(i).cast(pl.Int64, strict=False)
            if numbers.null_count() == 0 and (numbers.diff().drop_nulls() == 1).all():
                notes.append(f"column {i + 1} has no name and counts the rows: left out")
                continue
            names[i] = (
                f"column_{i + 1}" if f"column_{i + 1}" not in known else f"column_{i + 1} (no name)"
            )
            notes.append(f"column {i + 1} has no name: called {names[i]!r}")
        keep.append(i)
    return pl.DataFrame([frame.to_series(i).alias(names[i]) for i in keep])
