"""The raw table: features and target side by side, checked, nothing learned from it yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from winnow.data._arrays import plain_target
from winnow.data._columns import MAX_SIZE
from winnow.data._frames import Format, Typed, plain
from winnow.data._source import ArraySource, DatasetSource, FrameSource, read_source
from winnow.data._task import decide
from winnow.errors import DataError, did_you_mean
from winnow.recipe import Data, Task

__all__ = ["MIN_ROWS", "Table", "load_table"]

MIN_ROWS = 10


@dataclass(frozen=True)
class Table:
    """Rows with a known target, as they were given.

    Attributes:
        X: a polars frame of Float64, Boolean and String columns with null for gaps, or an array (N, ...) of finite numbers.
        y: (N,) raw target: int64, float64, bool, or text in an object array.
        names: of the columns; ``("x",)`` for arrays of more than two dimensions.
        task: what is to be predicted.
        target: the target's name.
        source_label: where the rows came from, for people.
        digest: SHA-256 of the content; of the bytes, for a file.
        shape: of one row, (F,) or (C, ...).
        rows: (N,) number of each row in the source, from 0.
        formats: which columns were dates, or codes of categories.
        notes: what was decided on the way.
    """

    X: pl.DataFrame | np.ndarray
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

    def __len__(self) -> int:
        return len(self.y)


def load_table(data: Data, source: ArraySource | DatasetSource | FrameSource | None = None) -> Table:
    """Read what ``data`` names.

    Args:
        source: what ``read_source(data.source)`` gave, when it was read before.

    Raises:
        DataError: nothing there, no such column, values that cannot be used; the setting is named, and the nearest right name.
    """
    source = source or read_source(data.source)
    if isinstance(source, DatasetSource):
        raise DataError(f"data.source: the {source.label} is no table: write a recipe with a model for its items")
    for name, value in (("classes", data.classes), ("version", data.version), ("workers", data.workers or None)):
        if value is not None:
            raise DataError(f"data.{name}: is for datasets, and {source.label} is read into memory: leave it out")
    table = _from_arrays(source, data) if isinstance(source, ArraySource) else _from_frame(source, data)
    if len(table) < MIN_ROWS:
        raise DataError(f"data.source: expected at least {MIN_ROWS} rows with a target, {table.source_label} has {len(table)}")
    task, note = decide(table.y, data.task, table.target)
    return replace(table, task=task, notes=(*table.notes, note) if note else table.notes)


def _from_arrays(source: ArraySource, data: Data) -> Table:
    if data.target not in (None, source.target):
        raise DataError(f"data.target: {source.label} brings its target along: leave it out, got {data.target!r}")
    X, notes = source.X, ()
    names = source.names or (tuple(f"x{i}" for i in range(X.shape[1])) if X.ndim == 2 else ("x",))
    if data.drop:
        if X.ndim > 2:
            raise DataError(f"data.drop: {source.label} has no columns, its rows have the shape {X.shape[1:]}")
        _known(data.drop, names, "data.drop")
        keep = [i for i, name in enumerate(names) if name not in data.drop]
        X, names = X[:, keep], tuple(names[i] for i in keep)
        _something_left(names)
    rows = np.arange(len(source.y))
    return Table(X, source.y, names, "classification", source.target, source.label, source.digest, X.shape[1:], rows, notes=notes)


def _from_frame(source: FrameSource, data: Data) -> Table:
    frame, target = source.typed.frame, _target(source, data)
    _known(data.drop, frame.columns, "data.drop")
    formats, notes = source.typed.formats, source.typed.notes
    is_code = formats.get(target.name) == "code"
    frame = frame.drop([name for name in (*data.drop, target.name) if name in frame.columns])
    _something_left(frame.columns)
    kept = set(frame.columns)
    typed = plain(Typed(frame, {k: v for k, v in formats.items() if k in kept}, notes))
    y, present = _target_values(target.cast(pl.Int64) if is_code else target)
    notes = typed.notes
    if not present.all():
        notes += (f"{int((~present).sum())} rows without a target were left out",)
    for series in typed.frame.get_columns():
        _finite(series)
    X = typed.frame.filter(pl.Series(present))
    rows, names = np.flatnonzero(present), tuple(X.columns)
    shape = (len(names),)
    return Table(X, y, names, "classification", target.name, source.label, source.digest, shape, rows, typed.formats, notes)


def _target(source: FrameSource, data: Data) -> pl.Series:
    frame = source.typed.frame
    if source.y is not None:
        if data.target not in (None, source.y.name):
            raise DataError(f"data.target: {source.label} brings its target along: leave it out, got {data.target!r}")
        return source.y
    if data.target is None:
        known = ", ".join(frame.columns[:30])
        raise DataError(f"data.target: expected the name of the column to predict, got none - columns of {source.label}: {known}")
    _known([data.target], frame.columns, "data.target")
    return frame[data.target]


def _target_values(target: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Raw values (N,) of the rows that have one, and which rows of the source those are, (rows,) bool."""
    dtype = target.dtype
    if dtype.is_temporal():
        raise DataError(
            f"data.target: {target.name!r} holds {dtype}: expected numbers, text or booleans; turn it into a number first"
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
        raise DataError(f"data.target: {target.name!r} holds {int((~np.isfinite(y)).sum())} infinite values")
    return y, present


def _finite(series: pl.Series) -> None:
    if not series.dtype.is_float():
        return
    bad = (series.abs() > MAX_SIZE).fill_null(False)
    if bad.any():
        row = bad.arg_max()
        assert row is not None
        kind = "infinite values" if bool(series.is_infinite().any()) else f"values beyond ±{MAX_SIZE:.3g}"
        raise DataError(
            f"data.source: column {series.name!r} holds {kind} ({int(bad.sum())} rows, the first is row {row}): expected finite "
            "numbers; leave those values empty or name the column in data.drop"
        )


def _known(asked: Iterable[str], names: Iterable[str], setting: str) -> None:
    names = list(names)
    for name in asked:
        if name not in names:
            raise DataError(f"{setting}: no column {name!r}{did_you_mean(name, names)}")


def _something_left(names: Iterable[str]) -> None:
    if not list(names):
        raise DataError("data.drop: no columns are left to learn from")
