"""Arrays and tensors at the door: what they must be, and what is said when they are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from winnow.data._columns import MAX_SIZE
from winnow.data._inputs import PAD, InputArrays, label
from winnow.errors import DataError
from winnow.trees import Tree, by_name, like

__all__ = ["feature_array", "input_arrays", "target_array", "to_numpy"]


def to_numpy(value: Any, what: str) -> np.ndarray:
    """Return a NumPy array of an array, a tensor on any device, or nested lists.

    Raises:
        DataError: for anything else.
    """
    if hasattr(value, "toarray"):
        raise DataError(f"data.source: {what} is a sparse matrix: give {what}.toarray()")
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return np.asarray(value.numpy())
    if not hasattr(value, "__array__") and not isinstance(value, list | tuple):
        raise DataError(
            f"data.source: expected {what} as an array, a tensor or nested lists, got "
            f"{type(value).__name__}"
        )
    try:
        return np.asarray(value)
    except ValueError:
        hint = "" if what in ("X", "y") else f"; {PAD}"
        raise DataError(
            f"data.source: {what} is ragged: expected rows of one length{hint}"
        ) from None


def feature_array(value: Any) -> np.ndarray:
    """Return features (N, ...) of two or more dimensions: numbers only, finite only. Not copied
    when they are right.

    Raises:
        DataError: another shape, another type, NaN, infinite or over-large values (how many, and
            where the first stands).
    """
    X = to_numpy(value, "X")
    if X.ndim < 2:
        raise DataError(
            f"data.source: expected X as (rows, features) or (rows, channels, ...), got shape "
            f"{X.shape}; use X.reshape(-1, 1)"
        )
    if 0 in X.shape:
        raise DataError(f"data.source: X is empty: its shape is {X.shape}")
    if X.dtype == object:
        X = _unboxed(X)
    if X.dtype.kind not in "iufb":
        raise DataError(
            f"data.source: expected X of numbers, got {X.dtype}; give text and dates in a frame "
            f"(Data.frame) or a file"
        )
    if X.dtype.kind == "f":
        for bad, kind in ((np.isnan(X), "NaN"), (np.isinf(X), "infinite")):
            if bad.any():
                place = tuple(int(i) for i in np.argwhere(bad)[0])
                raise DataError(
                    f"data.source: {int(bad.sum())} {kind} value{'s' * (int(bad.sum()) > 1)} in "
                    f"X, the first at X{list(place)}: "
                    "an array has no way to say that a value is missing; fill the gaps, or give "
                    "a frame (Data.frame)"
                )
    if X.dtype.itemsize == 8 and np.abs(X).max() > MAX_SIZE:
        raise DataError(
            f"data.source: X holds values beyond ±{MAX_SIZE:.3g}, more than single precision can "
            f"hold: divide them first"
        )
    return X


def input_arrays(found: Tree) -> InputArrays:
    """Return several inputs, a tuple or mapping of arrays (N, ...): numbers only, finite only.

    Raises:
        DataError: another structure, arrays of different lengths, another type, values that are not
            finite.
    """
    odd = [name for name in by_name(found) if not isinstance(name, str)]
    if odd or not by_name(found):
        what = f"the name {odd[0]!r}" if odd else "none"
        raise DataError(f"data.source: expected inputs by name in X, got {what}")
    arrays = {
        name: _input_array(value, label(found, name)) for name, value in by_name(found).items()
    }
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{label(found, name)} {count}" for name, count in rows.items())
        raise DataError(f"data.source: expected inputs of the same number of rows, got {told}")
    return InputArrays(like(found, iter(arrays.values())))


def _input_array(value: Any, what: str) -> np.ndarray:
    array = to_numpy(value, what)
    if array.ndim == 0 or 0 in array.shape:
        raise DataError(
            f"data.source: expected {what} as (rows, ...) with values, got the shape {array.shape}"
        )
    array = _unboxed(array) if array.dtype == object else array
    if array.dtype.kind not in "iufb":
        hint = f"; {PAD}" if array.dtype == object else ""
        raise DataError(f"data.source: expected {what} of numbers, got {array.dtype}{hint}")
    if array.dtype.kind == "f":
        bad = ~(np.abs(array.astype(np.float64)) <= MAX_SIZE)
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(
                f"data.source: expected finite numbers in {what}, got {array[place]} at "
                f"{what}{list(place)}"
            )
    return array


def target_array(value: Any, rows: int) -> np.ndarray:
    """Return the target (N,) as int64, float64, bool, or text (object).

    Raises:
        DataError: another length or shape, missing or infinite values.
    """
    y = to_numpy(value, "y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"data.source: expected y as (rows,), one target for each row, got shape {y.shape}"
        )
    if len(y) != rows:
        raise DataError(f"data.source: X has {rows} rows but y has {len(y)}")
    if y.dtype == object:
        bad = np.array([v is None or v != v for v in y.tolist()])
    else:
        bad = ~np.isfinite(y) if y.dtype.kind == "f" else np.zeros(len(y), dtype=bool)
    if bad.any():
        first = int(bad.argmax())
        raise DataError(
            f"data.source: {int(bad.sum())} missing or infinite values in y, the first at "
            f"y[{first}]: leave those rows out"
        )
    return plain_target(y)


def plain_target(y: np.ndarray) -> np.ndarray:
    """Return target values as int64, float64, bool, or text in an object array.

    Raises:
        DataError: dates and other types.
    """
    if y.dtype == object:
        types = {type(v) for v in y.tolist()}
        if all(issubclass(t, bool | np.bool_) for t in types):
            y = y.astype(bool)
        elif all(issubclass(t, int | np.integer) for t in types):
            y = y.astype(np.int64)
        elif all(issubclass(t, int | float | np.integer | np.floating) for t in types):
            y = y.astype(np.float64)
        elif types != {str}:
            names = ", ".join(sorted(t.__name__ for t in types))
            raise DataError(
                f"data.target: expected a target of numbers or text or booleans, got {names}"
            )
    if y.dtype.kind in "iu":
        return y.astype(np.int64)
    if y.dtype.kind == "f":
        return y.astype(np.float64)
    if y.dtype.kind in "UO":
        return y.astype(object)
    if y.dtype.kind == "b":
        return y
    raise DataError(f"data.target: expected a target of numbers, text or booleans, got {y.dtype}")


def _unboxed(X: np.ndarray) -> np.ndarray:
    """Return an object array of numbers as float64; text that happens to spell a number stays
    text.
    """
    if all(
        isinstance(v, int | float | np.integer | np.floating | np.bool_) for v in X.ravel().tolist()
    ):
        return X.astype(np.float64)
    return X
