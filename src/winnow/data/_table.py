"""The raw table: features and target side by side, checked, nothing learned from it yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from winnow.data._arrays import plain_target
from winnow.data._columns import MAX_SIZE
from winnow.data._frames import ColumnNote, Doubt, Format, Reading, TypedFrame, plain
from winnow.data._inputs import InputArrays
from winnow.data._rare import settle_rare
from winnow.data._source import ArraySource, DatasetSource, FrameSource, read_source
from winnow.data._task import MOST_CLASSES, decide
from winnow.data._text import PLAIN, Style
from winnow.errors import DataError, did_you_mean
from winnow.recipe import Data, Task
from winnow.trees import by_name

__all__ = ["MIN_ROWS", "Table", "load_table"]

MIN_ROWS = 10


@dataclass(frozen=True)
class Table:
    """Rows with a known target, as they were given.

    Attributes:
        X: a polars frame of Float64, Boolean and String columns with null for gaps, an array (N,
            ...) of finite numbers, or several inputs.
        y: (N,) raw target: int64, float64, bool, or text in an object array.
        names: of the columns; ``("x",)`` for arrays of more than two dimensions; of the inputs,
            where there are several.
        task: what is to be predicted.
        target: the target's name.
        source_label: where the rows came from, for people.
        digest: SHA-256 of the content; of the bytes, for a file.
        shape: of one row, (F,) or (C, ...); () of several inputs.
        rows: (N,) number of each row in the source, from 0.
        formats: which columns were dates, or codes of categories.
        notes: what was decided on the way.
        readings: how text was read, of the columns where that needs saying.
        doubts: why columns that are nearly numbers or dates are text.
        order: (N,) what the rows are put in order by, when the split asks for an order.
        weights: (N,) how much each row counts in training, when the recipe names a column of that.
        style: how the text of the file is written, as far as the recipe says it.
    """

    X: pl.DataFrame | np.ndarray | InputArrays
    y: np.ndarray
    names: tuple[str, ...]
    task: Task
    target: str
    source_label: str
    digest: str
    shape: tuple[int, ...]
    rows: np.ndarray
    formats: dict[str, Format] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    readings: dict[str, Reading] = field(default_factory=dict)
    doubts: dict[str, Doubt] = field(default_factory=dict)
    order: np.ndarray | None = None
    style: Style = PLAIN
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)


def load_table(
    data: Data, source: ArraySource | DatasetSource | FrameSource | None = None
) -> Table:
    """Read what ``data`` names.

    Args:
        source: what ``read_source(data.source)`` gave, when it was read before.

    Raises:
        DataError: nothing there, no such column, values that cannot be used; the setting is named,
            and the nearest right name.
    """
    style = Style.of(data)
    source = source or read_source(data.source, style)
    if isinstance(source, DatasetSource):
        raise DataError(
            f"data.source: the {source.label} is no table: write a recipe with a model for its "
            f"items"
        )
    for name, value in (
        ("classes", data.classes),
        ("version", data.version),
        ("workers", data.workers or None),
    ):
        if value is not None:
            raise DataError(
                f"data.{name}: is for datasets, and {source.label} is read into memory: leave it "
                f"out"
            )
    table = (
        _from_arrays(source, data) if isinstance(source, ArraySource) else _from_frame(source, data)
    )
    if len(table) < MIN_ROWS:
        raise DataError(
            f"data.source: expected at least {MIN_ROWS} rows with a target, {table.source_label} "
            f"has {len(table)}"
        )
    task, note = decide(table.y, data.task, table.target)
    table = replace(
        table, task=task, notes=(*table.notes, note) if note else table.notes, style=style
    )
    return table if data.rare_classes == "error" else _without_rare(table, data)


def _without_rare(table: Table, data: Data) -> Table:
    if table.task != "classification":
        raise DataError(
            f"data.rare_classes: is for classes, and {table.target!r} is a quantity: leave it out"
        )
    settled = settle_rare(table.y, table.target, data)
    if settled is None:
        return table
    if len(settled.y) < MIN_ROWS:
        raise DataError(
            f"data.rare_classes: expected at least {MIN_ROWS} rows to be left, got "
            f"{len(settled.y)}: {settled.note}"
        )
    kept = settled.kept
    return replace(
        table,
        X=_some(table.X, kept),
        y=settled.y,
        rows=table.rows[kept],
        order=None if table.order is None else table.order[kept],
        weights=None if table.weights is None else table.weights[kept],
        notes=(*table.notes, settled.note),
    )


def _some(
    X: pl.DataFrame | np.ndarray | InputArrays, kept: np.ndarray
) -> pl.DataFrame | np.ndarray | InputArrays:
    if isinstance(X, InputArrays):
        return InputArrays(X[kept])
    return X.filter(pl.Series(kept)) if isinstance(X, pl.DataFrame) else X[kept]


def _from_arrays(source: ArraySource, data: Data) -> Table:
    if data.target not in (None, source.target):
        raise DataError(
            f"data.target: {source.label} brings its target along: leave it out, got "
            f"{data.target!r}"
        )
    X, notes = source.X, ()
    given = [
        name
        for name in ("encoding", "separator", "decimal", "dates")
        if getattr(data, name) is not None
    ]
    if given:
        raise DataError(
            f"data.{given[0]}: is for files of text, and {source.label} is none: leave it out"
        )
    if isinstance(X, InputArrays):
        return _from_inputs(source, X, data)
    names = source.names or (tuple(f"x{i}" for i in range(X.shape[1])) if X.ndim == 2 else ("x",))
    order = None
    if data.split.order_by is not None:
        _known([data.split.order_by], names if X.ndim == 2 else (), "data.split.order_by")
        order = X[:, names.index(data.split.order_by)]
    weights = None
    if data.weights is not None:
        _known([data.weights], names if X.ndim == 2 else (), "data.weights")
        weights = _weights(X[:, names.index(data.weights)], data.weights, source.label)
    gone = {*data.drop, *([] if data.weights is None else [data.weights])}
    if gone:
        if X.ndim > 2:
            raise DataError(
                f"data.drop: {source.label} has no columns, its rows have the shape {X.shape[1:]}"
            )
        _known(data.drop, names, "data.drop")
        keep = [i for i, name in enumerate(names) if name not in gone]
        X, names = X[:, keep], tuple(names[i] for i in keep)
        _something_left(names)
    rows = np.arange(len(source.y))
    return Table(
        X,
        source.y,
        names,
        "classification",
        source.target,
        source.label,
        source.digest,
        X.shape[1:],
        rows,
        notes=notes,
        order=order,
        weights=weights,
    )


def _from_inputs(source: ArraySource, X: InputArrays, data: Data) -> Table:
    """Rows of several inputs, which have no columns.

    Raises:
        DataError: a setting that is for columns, or for one input.
    """
    for name, value in (
        ("drop", data.drop or None),
        ("weights", data.weights),
        ("split.order_by", data.split.order_by),
        ("shape", data.shape),
        ("prepare.steps", data.prepare.steps or None),
    ):
        if value is not None:
            raise DataError(
                f"data.{name}: {source.label} hold several inputs, which have no columns and keep "
                f"their shapes: leave it out"
            )
    names = tuple(by_name(X.arrays))
    rows = np.arange(len(source.y))
    return Table(
        X,
        source.y,
        names,
        "classification",
        source.target,
        source.label,
        source.digest,
        (),
        rows,
    )


def _from_frame(source: FrameSource, data: Data) -> Table:
    frame, target = source.typed.frame, _target(source, data)
    _known(data.drop, frame.columns, "data.drop")
    formats, notes = source.typed.formats, source.typed.notes
    is_code = formats.get(target.name) == "code"
    order = (
        None if data.split.order_by is None else _order(frame, data.split.order_by, source.label)
    )
    weights = None
    if data.weights is not None:
        _known([data.weights], frame.columns, "data.weights")
        column = plain(TypedFrame(frame.select(data.weights))).frame[data.weights]
        weights = _weights(column.to_numpy(), data.weights, source.label)
    gone = {*data.drop, target.name, *([] if data.weights is None else [data.weights])}
    frame = frame.drop([name for name in frame.columns if name in gone])
    _something_left(frame.columns)
    kept = set(frame.columns)
    typed = plain(
        replace(
            source.typed,
            frame=frame,
            formats={k: v for k, v in formats.items() if k in kept},
            notes=notes,
        )
    )
    if target.name in typed.doubts:
        typed = replace(
            typed, notes=(*typed.notes, _target_doubt(target, typed.doubts[target.name], data))
        )
    y, present = _target_values(target.cast(pl.Int64) if is_code else target)
    notes = tuple(
        note
        for note in typed.notes
        if not (isinstance(note, ColumnNote) and note.column in data.drop)
    )
    if not present.all():
        notes += (f"{int((~present).sum())} rows without a target were left out",)
    _finite(typed)
    X = typed.frame.filter(pl.Series(present))
    rows, names = np.flatnonzero(present), tuple(X.columns)
    shape = (len(names),)
    return Table(
        X,
        y,
        names,
        "classification",
        target.name,
        source.label,
        source.digest,
        shape,
        rows,
        typed.formats,
        notes,
        typed.readings,
        typed.doubts,
        None if order is None else order[present],
        weights=None if weights is None else weights[present],
    )


def _weights(values: np.ndarray, name: str, label: str) -> np.ndarray:
    """Return a column as weights of rows, (rows,) float64 >= 0.

    Raises:
        DataError: it holds something else, or nothing but zeros.
    """
    expected = f"data.weights: expected a number >= 0 in every row of {name!r} of {label}"
    if values.dtype.kind not in "iufb":
        raise DataError(f"{expected}, got text")
    weights = values.astype(np.float64)
    is_wrong = ~(np.isfinite(weights) & (weights >= 0))
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise DataError(f"{expected}, got {weights[row]:g} in row {row}")
    if not weights.any():
        raise DataError(f"{expected}, and one above 0")
    return weights


def _order(frame: pl.DataFrame, name: str, label: str) -> np.ndarray:
    """(rows,) the values of a column that rows are put in order by: numbers, dates as days, or
    text.
    """
    _known([name], frame.columns, "data.split.order_by")
    series = plain(TypedFrame(frame.select(name))).frame[name]
    if series.null_count():
        row = series.is_null().arg_max()
        raise DataError(
            f"data.split.order_by: column {name!r} of {label} has no value in "
            f"{series.null_count()} rows, the first is row {row}"
            ": expected a value in every row to put them in order by"
        )
    return series.to_numpy()


def _target_doubt(target: pl.Series, doubt: Doubt, data: Data) -> str:
    """A note; or an error, of text that is nearly numbers and has too many values for classes
    that nobody asked for.
    """
    words = f"target {target.name!r}: {doubt.why}"
    if data.task != "classification" and target.n_unique() > MOST_CLASSES:
        raise DataError(
            f"data.target: {words}; {doubt.fix}, or write `task: classification` to predict it "
            f"as text"
        )
    return f"{words}: taken as text; {doubt.fix}"


def _target(source: FrameSource, data: Data) -> pl.Series:
    frame = source.typed.frame
    if source.y is not None:
        if data.target not in (None, source.y.name):
            raise DataError(
                f"data.target: {source.label} brings its target along: leave it out, got "
                f"{data.target!r}"
            )
        return source.y
    if data.target is None:
        known = ", ".join(frame.columns[:30])
        raise DataError(
            f"data.target: expected the name of the column to predict, got none - columns of "
            f"{source.label}: {known}"
        )
    _known([data.target], frame.columns, "data.target")
    return frame[data.target]


def _target_values(target: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Raw values (N,) of the rows that have one, and which rows of the source those are,
    (rows,) bool.
    """
    dtype = target.dtype
    if dtype.is_temporal():
        raise DataError(
            f"data.target: {target.name!r} holds {dtype}: expected numbers, text or booleans; "
            f"turn it into a number first"
        )
    if dtype.is_float() or dtype.is_decimal():
        target = target.cast(pl.Float64).fill_nan(None)
    if dtype.is_(pl.Categorical) or isinstance(dtype, pl.Enum):
        target = target.cast(pl.String)
    present = target.is_not_null().to_numpy()
    if not present.any():
        raise DataError(f"data.target: {target.name!r} has no values")
    y = plain_target(target.drop_nulls().to_numpy())
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(
            f"data.target: {target.name!r} holds {int((~np.isfinite(y)).sum())} infinite values"
        )
    return y, present


def _finite(typed: TypedFrame) -> None:
    numbers = typed.frame.select(pl.selectors.float())
    if numbers.width == 0:
        return
    worst = numbers.select((pl.all().abs() > MAX_SIZE).any()).row(0)
    for name, is_bad in zip(numbers.columns, worst, strict=True):
        if not is_bad:
            continue
        series = numbers[name]
        bad = (series.abs() > MAX_SIZE).fill_null(False)
        row = bad.arg_max()
        assert row is not None
        where = f"row {row}" if typed.line is None else typed.line(row)
        count = "1 row" if int(bad.sum()) == 1 else f"{int(bad.sum())} rows"
        kind = (
            "infinite values"
            if bool(series.is_infinite().any())
            else f"values beyond ±{MAX_SIZE:.3g}"
        )
        raise DataError(
            f"data.source: column {series.name!r} holds {kind} ({count}, the first is {where}): "
            f"expected finite "
            "numbers; leave those values empty or name the column in data.drop"
        )


def _known(asked: Iterable[str], names: Iterable[str], setting: str) -> None:
    names = list(names)
    known = set(names)
    for name in asked:
        if name not in known:
            raise DataError(f"{setting}: no column {name!r}{did_you_mean(name, names)}")


def _something_left(names: Iterable[str]) -> None:
    if not list(names):
        raise DataError("data.drop: no columns are left to learn from")
