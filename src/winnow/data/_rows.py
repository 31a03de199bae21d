"""Rows at the door: frames, records, columns or arrays -> a matrix of numbers and the text
columns, with every mistake found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from winnow.data._columns import MAX_SIZE, Block, Column, Target, days
from winnow.data._frames import is_frame, plain, to_polars
from winnow.data._written import expected, parse
from winnow.errors import DataError, Problem, nearest

__all__ = ["ParsedRows", "read_block", "read_blocks", "read_columns"]

MOST_PROBLEMS = 100  # then reading goes on, but nobody reads more

_NO_GAPS = ": the training rows had no gaps"
_ABSENT = object()  # the field is not there; None says that the value is not known


@dataclass
class ParsedRows:
    """What rows say.

    Attributes:
        count: number of rows N.
        numbers: (N, K) float64 values of the number and boolean columns in their order, NaN for
            gaps.
        texts: for each category column its N values, None for gaps.
        problems: what does not fit, ``rows[3].age: expected a number, got 'abc'``.
    """

    count: int = 0
    numbers: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    texts: dict[str, Sequence[str | None]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, row: int | None, name: str, message: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(name if row is None else f"rows[{row}].{name}", message))


def read_columns(rows: Any, columns: Sequence[Column], *, lenient: bool) -> ParsedRows:
    """Return rows of a table with ``columns``.

    Args:
        rows: a polars or pandas frame, a list of records, a mapping of columns, one record, or an
            array (N, columns).
        lenient: NaN stands for a gap and further columns are passed over, as in any frame.
            Otherwise both are mistakes.
    """
    parsed = ParsedRows()
    lenient = lenient or is_frame(rows)
    numeric = [c for c in columns if c.kind != "category"]
    by_name = _by_name(rows, columns, parsed, lenient)
    parsed.numbers = np.full((parsed.count, len(numeric)), np.nan)
    for i, column in enumerate(numeric):
        if column.name in by_name:
            parsed.numbers[:, i] = _numbers(by_name[column.name], column, parsed, lenient)
    for column in columns:
        if column.kind == "category":
            parsed.texts[column.name] = _texts(
                by_name.get(column.name, [None] * parsed.count), column, parsed, lenient
            )
    _check_size(parsed, numeric)
    return parsed


def read_block(rows: Any, block: Block) -> tuple[np.ndarray, list[Problem]]:
    """Return rows (N, C, ...) of numbers, from an array, nested lists, ``{name: array}`` or records
    ``[{name: row}, ...]``.
    """
    parsed = ParsedRows()
    if isinstance(rows, Mapping):
        rows = _one_field(rows, block.name, None, parsed)
    elif isinstance(rows, list | tuple) and len(rows) and isinstance(rows[0], Mapping):
        rows = [_one_field(row, block.name, i, parsed) for i, row in enumerate(rows)]
    array = np.zeros((0, *block.shape)) if parsed.problems else _array(rows, block, parsed)
    return array, parsed.problems


def read_blocks(rows: Any, blocks: Sequence[Block]) -> tuple[list[np.ndarray], list[Problem]]:
    """Return rows of several inputs, an array (N, ...) for each of ``blocks``.

    Args:
        rows: records ``[{name: value}, ...]``, one record, or the arrays of all rows by name or as
            a tuple in the order of the blocks.
        blocks: the inputs.
    """
    parsed = ParsedRows()
    columns = _by_input(rows, blocks, parsed)
    empty = [np.zeros((0, *block.shape)) for block in blocks]
    if parsed.problems:
        return empty, parsed.problems
    arrays = [_array(columns[block.name], block, parsed) for block in blocks]
    lengths = {block.name: len(array) for block, array in zip(blocks, arrays, strict=True)}
    if not parsed.problems and len(set(lengths.values())) > 1:
        parsed.add(None, "rows", f"expected inputs of one length, got {lengths}")
    return (empty if parsed.problems else arrays), parsed.problems


def _by_input(rows: Any, blocks: Sequence[Block], parsed: ParsedRows) -> dict[str, Any]:
    """Return the values of all rows for each input."""
    names = [block.name for block in blocks]
    if isinstance(rows, tuple) and len(rows) == len(blocks) and not _are_records(rows):
        return dict(zip(names, rows, strict=True))
    if isinstance(rows, Mapping):
        if any(np.ndim(rows[b.name]) > len(b.shape) for b in blocks if _is_there(rows, b.name)):
            _compare_names(list(rows), blocks, None, parsed, lenient=False)
            return dict(rows)
        rows = [rows]
    if not isinstance(rows, list | tuple) or not _are_records(rows):
        known = ", ".join(names)
        found = type(rows).__name__
        parsed.add(None, "rows", f"expected records or arrays with the inputs {known}, got {found}")
        return {}
    for i, row in enumerate(rows):
        if row.keys() != set(names):
            _compare_names(list(row), blocks, i, parsed, lenient=False)
    return {name: [row.get(name) for row in rows] for name in names}


def _is_there(rows: Mapping[str, Any], name: str) -> bool:
    """Return whether there is a value that has a shape, of which a ragged one is none."""
    try:
        return np.ndim(rows[name]) >= 0
    except (KeyError, ValueError):
        return False


def _are_records(rows: Sequence[Any]) -> bool:
    return all(isinstance(row, Mapping) for row in rows)


# Kinds of NumPy's types that are taken for numbers, whole numbers and booleans
_KINDS = {"numbers": "iufb", "whole numbers": "iub", "booleans": "iub"}


def _array(rows: Any, block: Block, parsed: ParsedRows) -> np.ndarray:
    """Return rows of one input, (N, *shape) in a type that the model can get; empty where they do
    not fit, which is then a problem.
    """
    try:
        array = np.asarray(rows)
    except ValueError:
        array = np.asarray(None)
    odd = None
    if array.shape[1:] != block.shape and isinstance(rows, list | tuple):
        odd = next((i for i, row in enumerate(rows) if _shape(row) != block.shape), None)
    shape = f"of shape {block.shape}" if block.shape else "one for each row"
    if odd is not None and _shape(rows[odd]) is not None:
        found = _show(rows[odd]) if _shape(rows[odd]) == () else f"shape {_shape(rows[odd])}"
        parsed.add(odd, block.name, f"expected {block.kind} {shape}, got {found}")
    elif array.dtype.kind not in _KINDS[block.kind]:
        each = f"rows of {block.kind}, each {shape}" if block.shape else f"{block.kind}, {shape}"
        parsed.add(odd, block.name, f"expected {each}")
    elif array.ndim == 0 or array.shape[1:] != block.shape:
        parsed.add(None, block.name, f"expected rows of shape {block.shape}, got {array.shape[1:]}")
    elif (bad := ~_takes(array, block)).any():
        place = np.argwhere(bad)[0]
        where = f" at {place[1:].tolist()}" if block.shape else ""
        wanted = "finite numbers" if block.input.is_float else f"{block.kind} ({block.dtype})"
        parsed.add(
            int(place[0]), block.name, f"expected {wanted}, got {array[tuple(place)]}{where}"
        )
    else:
        return array
    return np.zeros((0, *block.shape))


def _shape(row: Any) -> tuple[int, ...] | None:
    """Return the shape of a row; None where its lists differ in length."""
    try:
        return np.shape(row)
    except ValueError:
        return None


def _takes(array: np.ndarray, block: Block) -> np.ndarray:
    """Return which values the model can get, of the shape of ``array``."""
    if block.dtype == "bool":
        return (array == 0) | (array == 1)
    if not block.input.is_float:
        info = np.iinfo(block.dtype)
        return (array >= info.min) & (array <= info.max)
    with np.errstate(invalid="ignore"):
        return np.abs(array.astype(np.float64)) <= MAX_SIZE


# -- the forms rows come in ------------------------------------------------------------------------


def _by_name(
    rows: Any, columns: Sequence[Column], parsed: ParsedRows, lenient: bool
) -> Mapping[str, Any]:
    """Return the values of each column that is there; sets ``parsed.count``."""
    if is_frame(rows):
        return _from_frame(rows, columns, parsed)
    if isinstance(rows, Mapping):
        return _from_mapping(rows, columns, parsed, lenient)
    if isinstance(rows, list | tuple) and (not len(rows) or isinstance(rows[0], Mapping)):
        return _from_records(rows, columns, parsed, lenient)
    if hasattr(rows, "__array__") or isinstance(rows, list | tuple):
        array = _matrix(rows, columns, parsed)
        parsed.count = len(array)
        return {c.name: array[:, i] for i, c in enumerate(columns)}
    parsed.add(
        None, "rows", f"expected a frame, a list of records or an array, got {type(rows).__name__}"
    )
    return {}


def _from_frame(rows: Any, columns: Sequence[Column], parsed: ParsedRows) -> dict[str, Any]:
    try:
        typed = to_polars(rows)
        frame = typed.frame
        _compare_names(frame.columns, columns, None, parsed, lenient=True)
        there = set(frame.columns)  # once: the frame makes its list anew at every look
        names = [c.name for c in columns if c.name in there]
        formats = {name: f for name, f in typed.formats.items() if name in there}
        frame = plain(replace(typed, frame=frame.select(names), formats=formats)).frame
    except DataError as error:
        parsed.add(None, "rows", str(error).removeprefix("data.source: "))
        return {}
    parsed.count = frame.height
    return {
        s.name: s.to_numpy() if s.dtype.is_float() else s.to_list() for s in frame.get_columns()
    }


def _from_mapping(
    rows: Mapping[str, Any], columns: Sequence[Column], parsed: ParsedRows, lenient: bool
) -> dict[str, Any]:
    if not any(
        isinstance(v, list | tuple) or (hasattr(v, "__array__") and np.ndim(v))
        for v in rows.values()
    ):
        return _from_records([rows], columns, parsed, lenient)
    lengths = {
        name: len(values) if np.ndim(values) or isinstance(values, list | tuple) else 1
        for name, values in rows.items()
    }
    if len(set(lengths.values())) > 1:
        parsed.add(None, "rows", f"expected columns of one length, got {lengths}")
        return {}
    parsed.count = next(iter(lengths.values()))
    _compare_names(list(rows), columns, None, parsed, lenient)
    return dict(rows)


def _from_records(
    rows: Sequence[Any], columns: Sequence[Column], parsed: ParsedRows, lenient: bool
) -> dict[str, Any]:
    parsed.count = len(rows)
    names = {c.name for c in columns}
    records: list[Mapping[str, Any]] = []
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            parsed.add(
                None,
                f"rows[{i}]",
                f"expected a record of {len(columns)} fields, got {type(row).__name__}",
            )
            row = dict.fromkeys(names)
        elif row.keys() != names:
            _compare_names(list(row), columns, i, parsed, lenient)
        records.append(row)
    return {c.name: [row.get(c.name, _ABSENT) for row in records] for c in columns}


def _matrix(rows: Any, columns: Sequence[Column], parsed: ParsedRows) -> np.ndarray:
    try:
        array = np.asarray(rows)
        if array.dtype.kind in "US":  # mixed lists: NumPy would turn their numbers into text
            array = np.asarray(rows, dtype=object)
    except ValueError:
        parsed.add(None, "rows", "expected rows of one length")
        return np.zeros((0, len(columns)))
    if array.ndim > 2:
        array = array.reshape(len(array), -1)
    if array.ndim != 2 or array.shape[1] != len(columns):
        parsed.add(
            None,
            "rows",
            f"expected {len(columns)} values a row, (rows, {len(columns)}), got shape "
            f"{np.shape(rows)}",
        )
        return np.zeros((0, len(columns)))
    return array


def _compare_names(
    found: list[Any],
    columns: Sequence[Column | Block],
    row: int | None,
    parsed: ParsedRows,
    lenient: bool,
) -> None:
    names = [c.name for c in columns]
    known, there = set(names), set(found)
    extra = [str(name) for name in found if name not in known]
    for name in names:
        if name not in there:
            close = nearest(name, extra)
            parsed.add(row, name, "missing" + (f"; found {close!r}" if close else ""))
    if not lenient:
        for name in extra:
            close = nearest(name, names)
            parsed.add(
                row,
                name,
                "no such field"
                + (
                    f" - did you mean {close!r}?" if close else f" - known: {', '.join(names[:30])}"
                ),
            )


def _one_field(row: Any, name: str, index: int | None, parsed: ParsedRows) -> Any:
    if not isinstance(row, Mapping) or set(row) != {name}:
        found = sorted(map(str, row)) if isinstance(row, Mapping) else type(row).__name__
        parsed.add(index, name, f"expected a record with the one field {name!r}, got {found}")
        return None
    return row[name]


# -- values ----------------------------------------------------------------------------------------


def _numbers(values: Any, column: Column, parsed: ParsedRows, lenient: bool) -> np.ndarray:
    """Return float64 of a number or boolean column, NaN for gaps and for what does not fit (and is
    then a problem), (N,).
    """
    out = _fast_numbers(values, column)
    # Rows whose NaN is a gap, or a problem that is told already
    explained = np.zeros(parsed.count, dtype=bool)
    if out is None:
        out = np.full(parsed.count, np.nan)
        written = _written(values, column)
        for i, value in enumerate(values):
            if value is None or value is _ABSENT:
                explained[i] = True
                if value is None and not column.missing_allowed:
                    parsed.add(i, column.name, f"expected {expected(column)}, got none{_NO_GAPS}")
                continue
            try:
                out[i] = written[i] if i in written else _number(value, column)
            except (ValueError, OverflowError):
                explained[i] = True
                parsed.add(i, column.name, f"expected {expected(column)}, got {_show(value)}")
    if not (lenient and column.missing_allowed):
        why = "" if column.missing_allowed else _NO_GAPS
        for place in np.flatnonzero(np.isnan(out) & ~explained):
            parsed.add(int(place), column.name, f"expected {expected(column)}, got nan{why}")
    return out


def _written(values: Any, column: Column) -> dict[int, float]:
    """Of a column whose training rows were amounts or dates in people's writing: the values
    that are text, by their place.
    """
    if column.decimal is None and column.dates is None:
        return {}
    texts = {i: value.strip() for i, value in enumerate(values) if isinstance(value, str)}
    found = parse(pl.Series(list(texts.values()), dtype=pl.String), column).to_list()
    return {i: value for i, value in zip(texts, found, strict=True) if value is not None}


def _fast_numbers(values: Any, column: Column) -> np.ndarray | None:
    """Return the values at once where their types leave no question; None where each has to be
    looked at.
    """
    if column.kind == "boolean":
        return None
    if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if isinstance(values, list | tuple) and set(map(type, values)) <= {int, float}:
        try:
            return np.array(values, dtype=np.float64)
        # A whole number of hundreds of digits: which row it is, the slow way says
        except OverflowError:
            return None
    return None


def _number(value: Any, column: Column) -> float:
    """Return one value as a number. Raises ValueError or OverflowError for what is none."""
    if column.kind == "boolean":
        if isinstance(value, bool | np.bool_ | int | float | np.integer | np.floating) and (
            value in (0, 1) or value != value
        ):
            return float(value)
        raise ValueError
    if column.format == "date":
        return days(value)
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    raise ValueError


def _texts(
    values: Iterable[Any], column: Column, parsed: ParsedRows, lenient: bool
) -> list[str | None]:
    """Return the categories of a column, None for gaps. A number is taken where categories are
    numbers, or it is one of them.
    """
    values = list(values)
    if column.missing_allowed and set(map(type, values)) <= {str, type(None)}:
        return values
    known, out = set(column.categories), []
    for i, value in enumerate(values):
        label = None
        if (
            value is None
            or value is _ABSENT
            or (lenient and isinstance(value, float) and math.isnan(value))
        ):
            pass
        elif isinstance(value, str):
            label = str(value)
        elif isinstance(
            value, int | float | np.integer | np.floating | np.bool_
        ) and _is_known_number(value, column, known):
            label = Target.label(value)
        else:
            parsed.add(i, column.name, f"expected text, got {_show(value)}")
        out.append(label)
    return out


def _is_known_number(value: Any, column: Column, known: set[str]) -> bool:
    is_code = (
        column.format == "code"
        and not isinstance(value, bool | np.bool_)
        and math.isfinite(value)
        and value == int(value)
    )
    return is_code or Target.label(value) in known


def _check_size(parsed: ParsedRows, columns: Sequence[Column]) -> None:
    """Finite, and still finite as a float32 feature."""
    values = parsed.numbers
    if not values.size:
        return
    mean, scale = np.array([c.mean for c in columns]), np.array([c.scale for c in columns])
    with np.errstate(over="ignore", invalid="ignore"):
        bad = (np.abs(values) > MAX_SIZE) | (np.abs((values - mean) / scale) > MAX_SIZE)
    for i, j in np.argwhere(bad):
        value = float(values[i, j])
        wanted = "a finite number" if math.isinf(value) else f"a number within ±{MAX_SIZE:.3g}"
        parsed.add(int(i), columns[j].name, f"expected {wanted}, got {value:g}")


def _show(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 40 else f"{text[:37]}..."
