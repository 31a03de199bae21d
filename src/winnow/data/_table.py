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
    """Return the rows that a recipe names.

    Args:
        data: the settings.
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
    _refuse_dataset_settings(data, source.label)
    if isinstance(source, ArraySource):
        table = _from_arrays(source, data)
    else:
        table = _from_frame(source, data)
    if len(table) < MIN_ROWS:
        raise DataError(
            f"data.source: expected at least {MIN_ROWS} rows with a target, {table.source_label} "
            f"has {len(table)}"
        )
    task, note = decide(table.y, data.task, table.target)
    notes = (*table.notes, note) if note else table.notes
    table = replace(table, task=task, notes=notes, style=style)
    return table if data.rare_classes == "error" else _without_rare(table, data)


def _refuse_dataset_settings(data: Data, label: str) -> None:
    """Raise DataError for a setting that is for datasets only."""
    given = {"classes": data.classes, "version": data.version, "workers": data.workers or None}
    for name, value in given.items():
        if value is not None:
            raise DataError(
                f"data.{name}: is for datasets, and {label} is read into memory: leave it out"
            )


def _without_rare(table: Table, data: Data) -> Table:
    """Return the table with its rare classes merged, or without their rows.

    Raises:
        DataError: there are no classes, or too few rows are left.
    """
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
    """Return the rows that are kept, (rows,) bool."""
    if isinstance(X, InputArrays):
        return InputArrays(X[kept])
    return X.filter(pl.Series(kept)) if isinstance(X, pl.DataFrame) else X[kept]


# -- arrays ----------------------------------------------------------------------------------------


def _from_arrays(source: ArraySource, data: Data) -> Table:
    """Return the table of arrays.

    Raises:
        DataError: a setting that is for files or for columns where there are none, or no such
            column.
    """
    if data.target not in (None, source.target):
        raise DataError(
            f"data.target: {source.label} brings its target along: leave it out, got "
            f"{data.target!r}"
        )
    for name in ("encoding", "separator", "decimal", "dates"):
        if getattr(data, name) is not None:
            raise DataError(
                f"data.{name}: is for files of text, and {source.label} is none: leave it out"
            )
    if isinstance(source.X, InputArrays):
        return _from_inputs(source, source.X, data)
    X, names = source.X, _array_names(source)
    columns = names if X.ndim == 2 else ()
    order, weights = None, None
    if data.split.order_by is not None:
        _known([data.split.order_by], columns, "data.split.order_by")
        order = X[:, names.index(data.split.order_by)]
    if data.weights is not None:
        _known([data.weights], columns, "data.weights")
        weights = _weights(X[:, names.index(data.weights)], data.weights, source.label)
    gone = _no_features(data)
    if gone:
        if X.ndim > 2:
            raise DataError(
                f"data.drop: {source.label} has no columns, its rows have the shape {X.shape[1:]}"
            )
        _known(data.drop, names, "data.drop")
        keep = [i for i, name in enumerate(names) if name not in gone]
        X, names = X[:, keep], tuple(names[i] for i in keep)
        _something_left(names)
    return Table(
        X,
        source.y,
        names,
        "classification",
        source.target,
        source.label,
        source.digest,
        X.shape[1:],
        np.arange(len(source.y)),
        order=order,
        weights=weights,
    )


def _array_names(source: ArraySource) -> tuple[str, ...]:
    """Return the names of an array's columns: its own, else ``x0``, ``x1``, ...; ``x`` of rows that
    are arrays themselves.
    """
    if source.names:
        return source.names
    assert isinstance(source.X, np.ndarray)
    if source.X.ndim != 2:
        return ("x",)
    return tuple(f"x{i}" for i in range(source.X.shape[1]))


def _no_features(data: Data) -> set[str]:
    """Return the columns that are none of the features: those that are dropped, and the weights."""
    return {*data.drop} if data.weights is None else {*data.drop, data.weights}


def _from_inputs(source: ArraySource, X: InputArrays, data: Data) -> Table:
    """Return the table of rows of several inputs, which have no columns.

    Raises:
        DataError: a setting that is for columns, or for one input.
    """
    given = {
        "drop": data.drop or None,
        "weights": data.weights,
        "split.order_by": data.split.order_by,
        "shape": data.shape,
        "prepare.steps": data.prepare.steps or None,
    }
    for name, value in given.items():
        if value is not None:
            raise DataError(
                f"data.{name}: {source.label} hold several inputs, which have no columns and keep "
                f"their shapes: leave it out"
            )
    return Table(
        X,
        source.y,
        tuple(by_name(X.arrays)),
        "classification",
        source.target,
        source.label,
        source.digest,
        (),
        np.arange(len(source.y)),
    )


# -- frames ----------------------------------------------------------------------------------------


def _from_frame(source: FrameSource, data: Data) -> Table:
    """Return the table of a frame, without the rows that have no target.

    Raises:
        DataError: no such column, no column left, or values that cannot be used.
    """
    frame, target = source.typed.frame, _target(source, data)
    _known(data.drop, frame.columns, "data.drop")
    order, weights = None, None
    if data.split.order_by is not None:
        order = _order(frame, data.split.order_by, source.label)
    if data.weights is not None:
        _known([data.weights], frame.columns, "data.weights")
        column = plain(TypedFrame(frame.select(data.weights), source.typed.formats))
        values = column.frame[data.weights].to_numpy()
        found = "dates" if column.formats.get(data.weights) == "date" else None
        weights = _weights(values, data.weights, source.label, instead=found)
    typed = _features(source.typed, {*_no_features(data), target.name})
    is_code = source.typed.formats.get(target.name) == "code"
    y, present = _target_values(target.cast(pl.Int64) if is_code else target)
    notes = _notes(typed, target, present, data)
    _finite(typed)
    X = typed.frame.filter(pl.Series(present))
    return Table(
        X,
        y,
        tuple(X.columns),
        "classification",
        target.name,
        source.label,
        source.digest,
        (X.width,),
        np.flatnonzero(present),
        typed.formats,
        notes,
        typed.readings,
        typed.doubts,
        None if order is None else order[present],
        weights=None if weights is None else weights[present],
    )


def _features(typed: TypedFrame, gone: set[str]) -> TypedFrame:
    """Return a frame of the features alone, as columns of numbers, booleans and text.

    Raises:
        DataError: no column is left.
    """
    frame = typed.frame.drop([name for name in typed.frame.columns if name in gone])
    _something_left(frame.columns)
    kept = set(frame.columns)
    formats = {name: found for name, found in typed.formats.items() if name in kept}
    return plain(replace(typed, frame=frame, formats=formats))


def _notes(
    typed: TypedFrame, target: pl.Series, present: np.ndarray, data: Data
) -> tuple[str, ...]:
    """Return what was decided so far, but on columns that are dropped.

    Args:
        typed: the features.
        target: the column to predict.
        present: whether a row has a target, (rows,).
        data: the settings.

    Raises:
        DataError: the target is text that is nearly numbers, and nobody asked for classes.
    """
    notes: list[str] = list(typed.notes)
    if target.name in typed.doubts:
        notes.append(_target_doubt(target, typed.doubts[target.name], data))
    notes = [n for n in notes if not (isinstance(n, ColumnNote) and n.column in data.drop)]
    if not present.all():
        notes.append(f"{int((~present).sum())} rows without a target were left out")
    return tuple(notes)


def _weights(
    values: np.ndarray, name: str, label: str, *, instead: str | None = None
) -> np.ndarray:
    """Return a column as weights of rows, (rows,) float64 >= 0.

    Args:
        values: of the column, (rows,).
        name, label: of the column and of its source, for messages.
        instead: what the column holds in the place of numbers; None: its values tell.

    Raises:
        DataError: it holds something else, or nothing but zeros.
    """
    expected = f"data.weights: expected a number >= 0 in every row of {name!r} of {label}"
    if instead is not None or values.dtype.kind not in "iufb":
        raise DataError(f"{expected}, got {instead or 'text'}")
    weights = values.astype(np.float64)
    is_wrong = ~(np.isfinite(weights) & (weights >= 0))
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise DataError(f"{expected}, got {weights[row]:g} in row {row}")
    if not weights.any():
        raise DataError(f"{expected}, and one above 0")
    return weights


def _order(frame: pl.DataFrame, name: str, label: str) -> np.ndarray:
    """Return the values of a column that rows are put in order by, (rows,): numbers, dates as days,
    or text.

    Raises:
        DataError: no such column, or rows without a value in it.
    """
    _known([name], frame.columns, "data.split.order_by")
    series = plain(TypedFrame(frame.select(name))).frame[name]
    if series.null_count():
        row = series.is_null().arg_max()
        raise DataError(
            f"data.split.order_by: column {name!r} of {label} has no value in "
            f"{series.null_count()} rows, the first is row {row}: expected a value in every row to "
            f"put them in order by"
        )
    return series.to_numpy()


def _target_doubt(target: pl.Series, doubt: Doubt, data: Data) -> str:
    """Return a note on a target of text that is nearly numbers.

    Raises:
        DataError: it has too many values for classes, and nobody asked for these.
    """
    words = f"target {target.name!r}: {doubt.why}"
    if data.task != "classification" and target.n_unique() > MOST_CLASSES:
        raise DataError(
            f"data.target: {words}; {doubt.fix}, or write `task: classification` to predict it "
            f"as text"
        )
    return f"{words}: taken as text; {doubt.fix}"


def _target(source: FrameSource, data: Data) -> pl.Series:
    """Return the column to predict.

    Raises:
        DataError: there is none of that name, none is named, or one too many is.
    """
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
    """Return the raw values of the rows that have one, (N,), and which rows of the source those
    are, (rows,) bool.

    Raises:
        DataError: values of another kind, infinite ones, or none at all.
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
    """Raise DataError for the first column that holds a number beyond what features can be."""
    numbers = typed.frame.select(pl.selectors.float())
    if numbers.width == 0:
        return
    are_beyond = numbers.select((pl.all().abs() > MAX_SIZE).any()).row(0)
    for series, is_beyond in zip(numbers.get_columns(), are_beyond, strict=True):
        if is_beyond:
            raise DataError(_what_is_beyond(series, typed))


def _what_is_beyond(series: pl.Series, typed: TypedFrame) -> str:
    """Return what a column of numbers holds that cannot be used, and where."""
    beyond = (series.abs() > MAX_SIZE).fill_null(False)
    row = beyond.arg_max()
    assert row is not None
    where = f"row {row}" if typed.line is None else typed.line(row)
    count = "1 row" if int(beyond.sum()) == 1 else f"{int(beyond.sum())} rows"
    is_infinite = bool(series.is_infinite().any())
    kind = "infinite values" if is_infinite else f"values beyond ±{MAX_SIZE:.3g}"
    return (
        f"data.source: column {series.name!r} holds {kind} ({count}, the first is {where}): "
        f"expected finite numbers; leave those values empty or name the column in data.drop"
    )


def _known(asked: Iterable[str], names: Iterable[str], setting: str) -> None:
    """Raise DataError for a name that is none of a column."""
    names = list(names)
    known = set(names)
    for name in asked:
        if name not in known:
            raise DataError(f"{setting}: no column {name!r}{did_you_mean(name, names)}")


def _something_left(names: Iterable[str]) -> None:
    """Raise DataError where no column is left."""
    if not list(names):
        raise DataError("data.drop: no columns are left to learn from")
