"""From the name in ``data.source`` to what it stands for: a frame, arrays, or datasets."""

from __future__ import annotations

import functools
import hashlib
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from winnow.data._arrays import feature_array, input_arrays, target_array
from winnow.data._csv import read_csv
from winnow.data._frames import TypedFrame, is_frame, is_series, series_to_polars, to_polars
from winnow.data._inputs import InputArrays
from winnow.data._text import TEXT_FILES, Style
from winnow.errors import DataError, did_you_mean, first_line, nearest
from winnow.recipe import (
    OBJECT_PREFIX,
    SKLEARN_SETS,
    TRUST,
    ObjectNotFound,
    content_digest,
    is_import_path,
    is_standard,
    resolve_object,
    uncallable,
    written_in_python,
)

__all__ = [
    "ArraySource",
    "DatasetSource",
    "FrameSource",
    "file_digest",
    "read_parquet",
    "read_source",
]

FILES = (*TEXT_FILES, ".parquet")
FORMS = "`sklearn:<name>`, a path to a .csv, .tsv or .parquet file, or `package.module:function`"


@dataclass(frozen=True)
class ArraySource:
    """Features (N, ...), or several inputs, and target (N,), with the names of the features where
    they have any.
    """

    X: np.ndarray | InputArrays
    y: np.ndarray
    label: str
    digest: str
    names: tuple[str, ...] | None = None
    target: str = "y"


@dataclass(frozen=True)
class FrameSource:
    """A frame, and the target when it came beside it (None: it is one of the columns)."""

    typed: TypedFrame
    y: pl.Series | None
    label: str
    digest: str


@dataclass(frozen=True)
class DatasetSource:
    """One map-style dataset that is to be divided, or one for each part; nothing of it is read
    yet.
    """

    datasets: Any
    label: str


def read_source(
    source: str, style: Style | None = None
) -> ArraySource | DatasetSource | FrameSource:
    """Return what ``source`` stands for.

    Args:
        source: its name.
        style: how the text of a file is written, as far as that is known.

    Raises:
        DataError: nothing of that name (with the nearest there is), or something that cannot be
            read as data.
    """
    if source.startswith("sklearn:"):
        return _sklearn_set(source)
    if source.startswith(OBJECT_PREFIX) or is_import_path(source):
        return _python_object(source)
    return _file(source, style or Style())


def _sklearn_set(source: str) -> ArraySource:
    import sklearn.datasets  # here, since it takes a second to load and files do not need it

    name = source.removeprefix("sklearn:")
    if name not in SKLEARN_SETS:
        raise DataError(
            f"data.source: scikit-learn's bundled sets have no "
            f"{name!r}{did_you_mean(name, SKLEARN_SETS)}"
        )
    load = getattr(sklearn.datasets, f"load_{name}")
    found = load(scaled=False) if name == "diabetes" else load()
    y = found.target
    if name in ("breast_cancer", "iris", "wine"):  # their classes have names
        y = np.asarray(found.target_names)[y].astype(object)
    digest = content_digest((found.data, y))
    names = tuple(str(n) for n in found.feature_names)
    return ArraySource(
        feature_array(found.data),
        target_array(y, len(found.data)),
        source,
        digest,
        names,
        target="target",
    )


def _file(source: str, style: Style) -> FrameSource:
    path, digest = Path(source), file_digest(source)
    if path.suffix.lower() in TEXT_FILES:
        return FrameSource(_typed(str(path.resolve()), digest, style), None, source, digest)
    given = [
        name
        for name in ("encoding", "separator", "decimal", "dates")
        if getattr(style, name) is not None
    ]
    if given:
        raise DataError(
            f"data.{given[0]}: is for files of text, and {source} is Parquet: leave it out"
        )
    return FrameSource(TypedFrame(read_parquet(path)), None, source, digest)


def file_digest(source: str) -> str:
    """Return the SHA-256 of the bytes of a file of rows.

    Raises:
        DataError: no such file, with the nearest there is, or one that cannot be read.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"data.source: no file {source!r}{_nearest_file(path)}")
    if path.suffix.lower() not in FILES or not path.is_file():
        raise DataError(f"data.source: expected {FORMS}, got {source!r}")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"data.source: cannot read {source}: {error.strerror}") from None


@functools.lru_cache(maxsize=1)  # a recipe is written for the same table that it is then run on
def _typed(path: str, digest: str, style: Style) -> TypedFrame:
    """Return the file's table; ``digest`` is of its bytes, so that a changed file is read again."""
    return read_csv(Path(path), style)


def read_parquet(path: Path) -> pl.DataFrame:
    """Return the frame in a Parquet file.

    Raises:
        DataError: it is none.
    """
    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"data.source: cannot read {path} as Parquet: {first_line(error)}"
        ) from None


def _nearest_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no directory {str(path.parent)!r}"
    close = nearest(path.name, [p.name for p in path.parent.iterdir() if p.suffix.lower() in FILES])
    if close is not None:
        return f" - did you mean {str(path.parent / close)!r}?"
    return "" if path.suffix.lower() in FILES else f": expected {FORMS}"


def _python_object(source: str) -> ArraySource | DatasetSource | FrameSource:
    expected = (
        "data.source: expected a function written in Python that gives (X, y), a frame or datasets"
    )
    if is_import_path(source) and is_standard(source.partition(":")[0]):
        raise DataError(f"{expected}, got {source!r} of Python's own library ({TRUST})")
    try:
        found = resolve_object(source)
    except ObjectNotFound as error:
        raise DataError(f"data.source: {error}") from None
    label = "Python" if source.startswith(OBJECT_PREFIX) else source
    if callable(found) and not _is_dataset(found):
        reason = uncallable(found) or _gives_none(found)
        if reason is not None:
            raise DataError(f"{expected}, but {source!r} {reason} ({TRUST})")
        label = getattr(found, "__qualname__", label) if label == "Python" else label
        found = _called(found, label)
    if is_frame(found):
        typed = to_polars(found)
        return FrameSource(typed, None, f"frame from {label}", _frame_digest(typed))
    if isinstance(found, Mapping) or _is_dataset(found):
        return DatasetSource(
            found, f"dataset from {label}" if _is_dataset(found) else f"datasets from {label}"
        )
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise DataError(
            f"data.source: expected {label} to give (X, y) or a frame or datasets, got "
            f"{_what(found)}"
        )
    X, y = found
    if is_frame(X):
        typed = to_polars(X)
        if len(y) != typed.frame.height:
            raise DataError(f"data.source: X has {typed.frame.height} rows but y has {len(y)}")
        target = series_to_polars(y, str(getattr(y, "name", None) or "y"))
        return FrameSource(typed, target, f"frame from {label}", _frame_digest(typed, target))
    arrays = input_arrays(X) if _is_several(X) else feature_array(X)
    y = target_array(y.to_numpy() if is_series(y) else y, len(arrays))
    return ArraySource(arrays, y, f"arrays from {label}", content_digest((arrays[:], y)))


def _is_several(X: Any) -> bool:
    """Return whether it is several inputs: a mapping, or a tuple in which there are arrays."""
    return isinstance(X, Mapping) or (
        isinstance(X, tuple) and any(hasattr(part, "__array__") for part in X)
    )


def _is_dataset(value: Any) -> bool:
    """Return whether it is meant as a dataset: PyTorch's, or anything with a length whose items are
    got by number.
    """
    torch_data = sys.modules.get("torch.utils.data")  # not loaded: then it is none of PyTorch's
    if torch_data is not None and isinstance(value, torch_data.Dataset):
        return True
    kind = type(value)
    other = (
        isinstance(value, type | tuple | list | str | bytes | Mapping)
        or is_frame(value)
        or hasattr(value, "__array__")
    )
    return not other and hasattr(kind, "__getitem__") and hasattr(kind, "__len__")


def _gives_none(found: Any) -> str | None:
    """Return why a Python function gives no data, as far as it says; None when it may."""
    function = written_in_python(found)
    try:
        returned = typing.get_type_hints(function).get("return")
    except Exception:  # a class, or an annotation that names what is not there
        return None
    return (
        f"returns {returned.__name__}"
        if returned in (type(None), bool, int, float, str, bytes)
        else None
    )


def _called(function: Callable[[], Any], label: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise DataError(f"data.source: {label}() raised {type(error).__name__}: {error}") from error


def _frame_digest(typed: TypedFrame, target: pl.Series | None = None) -> str:
    """Of the values and what they are: the same numbers as codes of categories are other data."""
    frame = typed.frame if target is None else typed.frame.with_columns(target)
    return content_digest([frame, [str(dtype) for dtype in frame.dtypes], typed.formats])


def _what(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
