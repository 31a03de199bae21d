"""Learning the preparation from the training rows, with scikit-learn; what is learned is taken
out as plain data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import TypedDict

import numpy as np
import polars as pl

from winnow.data._columns import Block, ClassKind, Column, Target
from winnow.data._frames import Reading
from winnow.data._inputs import InputArrays, input_dtype
from winnow.data._preparation import Preparation
from winnow.data._steps import fit_steps
from winnow.data._table import Table
from winnow.errors import DataError, RecipeError
from winnow.methods import SCALERS, BaseScaler, Curve, Linear, Scaling
from winnow.recipe import Data, Prepare, made
from winnow.trees import Tree, by_name

__all__ = ["fit"]

_SCALE = "data.prepare.scale"
_VALUES_AT_ONCE = 10_000_000  # 80 MB in double precision
_CLASS_KINDS: dict[str, ClassKind] = {"O": "text", "i": "integer", "b": "boolean", "f": "number"}


class _Scaled(TypedDict):
    """How a column is scaled, as its attributes."""

    mean: float
    scale: float
    curve: Curve | None


def fit(table: Table, data: Data, train: np.ndarray) -> tuple[Preparation, tuple[str, ...]]:
    """Return what is learned from the training rows and from no other, and notes on what was left
    out.

    Args:
        table: all rows.
        data: the settings.
        train: positions of the training rows, (rows,).

    Raises:
        DataError: no usable column, a step that fails, or features that do not fit
            ``data.shape``.
    """
    notes: list[str] = []
    target = _fit_target(table, table.y[train])
    if isinstance(table.X, InputArrays):
        blocks = _fit_inputs(table.X[train], data.prepare)
        return Preparation.of_blocks(blocks, target, table.X.arrays), ()
    columns = _fit_columns(table, data, train, notes)
    own = columns[0].shape if isinstance(columns[0], Block) else (_width(columns),)
    style = table.style
    preparation = Preparation(columns, target, own, style.encoding, style.separator)
    if data.prepare.steps:
        preparation = fit_steps(
            preparation, data.prepare.steps, table.X[train], table.y[train], notes
        )
    shape = _row_shape(preparation.shape, data, notes)
    return replace(preparation, shape=shape), tuple(notes)


def _fit_columns(
    table: Table, data: Data, train: np.ndarray, notes: list[str]
) -> tuple[Column | Block, ...]:
    """Return the columns of a table, or the one block of rows that are arrays.

    Raises:
        DataError: no column is usable.
    """
    assert not isinstance(table.X, InputArrays)
    if isinstance(table.X, pl.DataFrame):
        columns = _fit_frame(table, table.X[train], data, notes)
        if not columns:
            raise DataError("data.source: no column can be learned from: " + "; ".join(notes))
        return columns
    X = table.X[train]
    if X.ndim == 2:
        return _fit_array(X, table.names, data.prepare, notes)
    return (_fit_block(X, table.names[0], data.prepare),)


def _width(columns: Iterable[Column | Block]) -> int:
    """Return how many features the columns of a table give."""
    return sum(len(column.features) for column in columns)


def _row_shape(shape: tuple[int, ...], data: Data, notes: list[str]) -> tuple[int, ...]:
    """Return the shape of a row's features that the recipe asks for, else the one that they have.

    Raises:
        DataError: the features do not fit it.
    """
    if data.shape is None:
        return shape
    if prod(data.shape) != prod(shape):
        product = " x ".join(map(str, data.shape))
        reasons = "".join(f"; {note}" for note in notes)
        raise DataError(
            f"data.shape: {product} = {prod(data.shape)} does not fit the {prod(shape)} features "
            f"of a row{reasons}"
        )
    return tuple(data.shape)


def _fit_target(table: Table, y: np.ndarray) -> Target:
    """Return what is predicted: the classes of the training rows, or the range of their values."""
    if table.task == "classification":
        labels = tuple(Target.label(value) for value in np.unique(y))
        return Target(table.target, "classification", labels, _CLASS_KINDS[y.dtype.kind])
    y = y.astype(np.float64)
    return Target(
        table.target,
        "regression",
        mean=float(y.mean()),
        scale=float(y.std()) or 1.0,
        minimum=float(y.min()),
        maximum=float(y.max()),
    )


# -- arrays ----------------------------------------------------------------------------------------


def _fit_array(
    X: np.ndarray, names: tuple[str, ...], prepare: Prepare, notes: list[str]
) -> tuple[Column, ...]:
    """Return the columns of an array (rows, columns).

    Every column is kept, the constant ones too: an array says what the model sees.
    """
    X = X.astype(np.float64)
    scalings = _fit_scalings([X], X.shape[1], prepare)
    low, high, middle = X.min(axis=0), X.max(axis=0), np.median(X, axis=0)
    whole = (np.floor(X) == X).all(axis=0)
    constant = [name for name, is_one in zip(names, low == high, strict=True) if is_one]
    if constant:
        notes.append(
            f"{len(constant)} of {len(names)} columns hold one value only in the training rows: "
            f"{', '.join(constant[:10])}{_and_more(constant)}"
        )
    columns = []
    for i, name in enumerate(names):
        column = Column(
            name,
            "number",
            fill=float(middle[i]),
            **_scaled(scalings[i]),
            missing_allowed=False,
            minimum=float(low[i]),
            maximum=float(high[i]),
            whole=bool(whole[i]),
            typical=_typical(float(middle[i]), bool(whole[i])),
            example=float(X[0, i]),
        )
        columns.append(column)
    return tuple(columns)


def _fit_inputs(arrays: Tree, prepare: Prepare) -> tuple[Block, ...]:
    """Return a block for each of several inputs.

    Floats are scaled as an array by itself is; whole numbers and booleans stay as they are.
    """
    blocks = []
    for name, X in by_name(arrays).items():
        dtype = input_dtype(X.dtype)
        if dtype == "float32":
            block = _fit_block(X if X.ndim > 1 else X[:, None], name, prepare)
            blocks.append(replace(block, shape=X.shape[1:]))
        else:
            ends = float(X.min()), float(X.max())
            blocks.append(Block(name, X.shape[1:], (), (), *ends, dtype=dtype))
    return tuple(blocks)


def _fit_block(X: np.ndarray, name: str, prepare: Prepare) -> Block:
    """Return the block of rows that are arrays, with one scaling for each channel (axis 1)."""
    channels = X.shape[1]
    scaled = [_scaled(s) for s in _fit_scalings(_in_chunks(X), channels, prepare)]
    curves = tuple(one["curve"] for one in scaled)
    return Block(
        name,
        X.shape[1:],
        tuple(one["mean"] for one in scaled),
        tuple(one["scale"] for one in scaled),
        float(X.min()),
        float(X.max()),
        curves if any(curves) else (),
    )


def _in_chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    """Yield copies in double precision of a part at a time, each (values, channels)."""
    for chunk in np.array_split(X, max(1, X.size // _VALUES_AT_ONCE)):
        yield np.moveaxis(chunk, 1, -1).reshape(-1, X.shape[1]).astype(np.float64)


def _fit_scalings(
    chunks: Iterable[np.ndarray], columns: int, prepare: Prepare
) -> Sequence[Scaling]:
    """Return the scaling of every column.

    Args:
        chunks: the training rows, a part at a time, each (rows, columns).
        columns: how many there are.
        prepare: says by which scaler.

    Raises:
        DataError: a scaler of the user's cannot be found, or does not give what it should.
    """
    if columns == 0 or (prepare.scale is None and not prepare.standardize):
        return [Linear()] * columns
    try:
        scaler = made(prepare.scale or "standardize", SCALERS, BaseScaler, _SCALE)
    except RecipeError as error:
        raise DataError(str(error.problems[0])) from None
    name = type(scaler).__name__
    try:
        scalings = list(scaler.fit(chunks))
    except Exception as error:  # a scaler of the user's may raise anything
        raise DataError(f"{_SCALE}: {name} failed: {type(error).__name__}: {error}") from error
    if len(scalings) != columns or not all(isinstance(s, Linear | Curve) for s in scalings):
        found = ", ".join(sorted({type(s).__name__ for s in scalings})) or "none"
        raise DataError(
            f"{_SCALE}: expected of {name} a Linear or a Curve for each of {columns} columns, got "
            f"{len(scalings)}: {found}"
        )
    return scalings


def _scaled(scaling: Scaling) -> _Scaled:
    """Return a scaling as the attributes of a column."""
    if isinstance(scaling, Linear):
        return {"mean": scaling.center, "scale": scaling.scale, "curve": None}
    return {"mean": 0.0, "scale": 1.0, "curve": scaling}


# -- frames ----------------------------------------------------------------------------------------


def _fit_frame(
    table: Table, train: pl.DataFrame, data: Data, notes: list[str]
) -> tuple[Column, ...]:
    """Return the usable columns of a frame, in its order."""
    kept = _usable(table, train, data, notes)
    are_numbers = [name for name in kept if train[name].dtype == pl.Float64]
    fitted = _fit_numbers(train.select(are_numbers), table, data.prepare)
    for name in kept:
        series = train[name]
        if series.dtype == pl.Boolean:
            fitted[name] = _fit_boolean(series)
        elif series.dtype == pl.String:
            fitted[name] = _fit_category(series, table, data.prepare, notes)
            doubt = table.doubts.get(name)
            if doubt is not None:
                notes.append(f"column {name!r}: {doubt.why}: taken as text; {doubt.fix}")
    no_dates = [name for name in are_numbers if table.formats.get(name) != "date"]
    _warn_of_row_numbers(train.select(no_dates), notes)
    return tuple(fitted[name] for name in kept)


def _usable(table: Table, train: pl.DataFrame, data: Data, notes: list[str]) -> list[str]:
    """Return the columns whose training rows say anything, and note why the others go.

    With ``data.shape`` every number counts.
    """
    distinct = train.select(pl.all().drop_nulls().n_unique()).row(0) if train.width else ()
    kept: list[str] = []
    gone: dict[str, list[str]] = {}
    for series, count in zip(train.get_columns(), distinct, strict=True):
        doubt = table.doubts.get(series.name)
        if _differs_everywhere(series, count) and doubt is not None:
            what = f"{doubt.why}: left out, since as text it differs in every row; {doubt.fix}"
            notes.append(f"column {series.name!r}: {what}")
            continue
        reason = _why_useless(series, count, data)
        if reason is None:
            kept.append(series.name)
        else:
            gone.setdefault(reason, []).append(series.name)
    for reason, names in gone.items():
        if len(names) == 1:
            verb = "has" if reason.startswith(("no ", "the ")) else "holds"
            notes.append(f"column {names[0]!r} {verb} {reason}: left out")
        else:
            shown = ", ".join(map(repr, names[:10])) + _and_more(names)
            notes.append(f"columns {shown} have {reason}: left out")
    return kept


def _why_useless(series: pl.Series, distinct: int, data: Data) -> str | None:
    """Return why nothing can be learned from a column, in words; None: something can.

    Args:
        series: its training rows.
        distinct: how many different values it has there.
        data: the settings.
    """
    if distinct == 0:
        return "no values in the training rows"
    is_asked_for = data.shape is not None and series.dtype != pl.String
    if distinct == 1 and not is_asked_for and not _gaps_say_something(series, data.prepare):
        return f"the same value in all training rows, {series.drop_nulls()[0]!r}"
    if _differs_everywhere(series, distinct):
        return f"text that differs in every row, such as {series.drop_nulls()[0]!r}"
    return None


def _differs_everywhere(series: pl.Series, distinct: int) -> bool:
    """Say whether a column is text of which no two rows have the same."""
    present = len(series) - series.null_count()
    return series.dtype == pl.String and distinct == present and distinct > 2


def _gaps_say_something(series: pl.Series, prepare: Prepare) -> bool:
    """Say whether gaps get a feature of their own."""
    if series.null_count() == 0:
        return False
    is_number = series.dtype == pl.Float64
    return series.dtype == pl.String or (is_number and prepare.missing_indicator)


def _fit_numbers(frame: pl.DataFrame, table: Table, prepare: Prepare) -> dict[str, Column]:
    """Return the columns of a frame of numbers, by name."""
    if frame.width == 0:
        return {}
    from sklearn.impute import SimpleImputer

    X = frame.fill_null(float("nan")).to_numpy()
    imputer = SimpleImputer(strategy=prepare.impute)
    filled = imputer.fit_transform(X)
    scalings = _fit_scalings([filled], filled.shape[1], prepare)
    whole = frame.select((pl.all() == pl.all().floor()).all()).row(0)
    lows, highs, middles = frame.min().row(0), frame.max().row(0), frame.median().row(0)
    firsts = frame.select(pl.all().drop_nulls().first()).row(0)
    columns = {}
    for i, name in enumerate(frame.columns):
        reading = table.readings.get(name, Reading())
        gaps = frame.to_series(i).null_count()
        columns[name] = Column(
            name,
            "number",
            format=table.formats.get(name),
            fill=float(imputer.statistics_[i]),
            **_scaled(scalings[i]),
            indicator=prepare.missing_indicator and gaps > 0,
            gaps=gaps,
            minimum=float(lows[i]),
            maximum=float(highs[i]),
            whole=bool(whole[i]),
            typical=_typical(float(middles[i]), bool(whole[i])),
            example=float(firsts[i]),
            decimal=reading.decimal,
            unit=reading.unit,
            dates=reading.dates,
            written=reading.written,
        )
    return columns


def _fit_boolean(series: pl.Series) -> Column:
    """Return a column of true and false, whose gaps are what most rows are."""
    present = series.drop_nulls()
    most = bool(2 * int(present.sum()) > present.len())
    return Column(
        series.name,
        "boolean",
        fill=float(most),
        gaps=series.null_count(),
        typical=most,
        example=bool(present[0]),
        minimum=0.0,
        maximum=1.0,
    )


def _fit_category(series: pl.Series, table: Table, prepare: Prepare, notes: list[str]) -> Column:
    """Return a column of text: one feature for each frequent category, one for all others, one for
    gaps. Gaps take no part in the count.
    """
    from sklearn.preprocessing import OneHotEncoder

    present = series.drop_nulls()
    encoder = OneHotEncoder(
        max_categories=prepare.max_categories, handle_unknown="infrequent_if_exist"
    )
    encoder.fit(present.to_numpy().astype(object)[:, None])
    rare = encoder.infrequent_categories_[0]
    others = set() if rare is None else set(rare.tolist())
    categories = tuple(str(c) for c in encoder.categories_[0].tolist() if c not in others)
    if others:
        notes.append(
            f"column {series.name!r} has {len(others) + len(categories)} categories: the "
            f"{len(categories)} most frequent have a feature each, the others share one "
            f"(data.prepare.max_categories)"
        )
    counts = present.alias("value").value_counts(name="rows")
    counts = counts.sort(["rows", "value"], descending=[True, False])
    return Column(
        series.name,
        "category",
        format=table.formats.get(series.name),
        categories=categories,
        others=len(others),
        gaps=series.null_count(),
        typical=counts["value"][0],
        example=present[0],
    )


def _warn_of_row_numbers(frame: pl.DataFrame, notes: list[str]) -> None:
    """Note which columns are whole numbers that rise from row to row."""
    if frame.width == 0 or frame.height <= 2:
        return
    rises = (pl.all().diff().drop_nulls() > 0).all()
    is_whole = (pl.all() == pl.all().floor()).all()
    found = frame.select(rises & is_whole).row(0)
    for series, is_found in zip(frame.get_columns(), found, strict=True):
        if is_found and series.null_count() == 0:
            notes.append(
                f"column {series.name!r} rises from row to row: if it only numbers the rows, "
                f"name it in data.drop"
            )


def _typical(value: float, whole: bool) -> float:
    """Return the middle of a column as a value that a row may have."""
    return float(round(value)) if whole else value


def _and_more(names: Sequence[str]) -> str:
    """Return how many names there are beyond the ten that are shown."""
    return f" and {len(names) - 10} more" if len(names) > 10 else ""
