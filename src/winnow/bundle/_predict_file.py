"""Predictions for a file of rows, written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from winnow.bundle._load import Answer, Bundle
from winnow.data import Preparation, Unusual, read_rows
from winnow.data._read_rows import read_table
from winnow.errors import InputError, Problem
from winnow.files import without_formulas, written_aside

if TYPE_CHECKING:
    import polars as pl

__all__ = ["predict_file"]

_READ = (".csv", ".tsv", ".parquet")
_WRITE = (".csv", ".parquet")


def predict_file(bundle: Bundle, source: str | Path, out: str | Path) -> int:
    """Predict every row of ``source`` and write ``out``: the columns as they were, and the answers
    beside them.

    The answers are ``prediction``, ``probability_<class>`` for each class, and ``warnings``: the
    values of the row that are unlike any in the training rows, in words; empty where there are
    none. In a .csv file a label that a spreadsheet would take for a formula (it begins with ``=``,
    ``+``, ``-``, ``@``) has an apostrophe before it.

    Args:
        bundle: the model.
        source: a .csv, .tsv or .parquet file; columns that the model does not know are kept and
            passed over.
        out: a .csv or .parquet file, replaced when it is there; it appears only when it is whole.

    Returns:
        Number of rows.

    Raises:
        DataError: ``source`` is not there or cannot be read.
        InputError: a model of arrays, rows that do not fit the schema, another kind of file, a
            column that is already called as an answer, or ``out`` is ``source`` or cannot be
            written.
    """
    source, out = Path(source), Path(out)
    _check_places(source, out)
    _check_columns(bundle)
    rows = read_rows(source, bundle.preparation)
    added = _columns(bundle, bundle.answer(rows))
    if out.suffix.lower() == ".csv":
        added = without_formulas(added)
    kept = _as_written(source, rows, bundle.preparation)
    for name in added.columns:
        if name in kept.columns:
            message = f"{source.name} already has a column of this name: rename it there"
            raise InputError([Problem(name, message)])
    _write(kept.with_columns(*added.get_columns()), out)
    return len(rows)


def _check_places(source: Path, out: Path) -> None:
    """Refuse files of other kinds, and to write where that cannot be or would do harm."""
    _check_suffix(source, _READ, "read")
    _check_suffix(out, _WRITE, "write")
    if not out.parent.is_dir():
        raise InputError(f"cannot write {str(out)!r}: there is no directory {str(out.parent)!r}")
    if out.exists() and source.exists() and out.samefile(source):
        raise InputError(
            f"{str(out)!r} is the file of the rows: choose another one for the predictions"
        )


def _check_columns(bundle: Bundle) -> None:
    """Refuse a model whose rows are no fields of a table."""
    arrays = [column["name"] for column in bundle.schema if column["kind"] == "array"]
    if arrays:
        raise InputError(
            f"the model takes arrays ({', '.join(arrays)}), which a file of rows does not hold: "
            f"use winnow.load(...).predict(rows) in Python, or POST /predict of `winnow serve`"
        )


def _check_suffix(path: Path, known: tuple[str, ...], verb: str) -> None:
    if path.suffix.lower() not in known:
        raise InputError(
            f"cannot {verb} {path.name!r}: expected a file that ends in {', '.join(known)}"
        )


def _columns(bundle: Bundle, answer: Answer) -> pl.DataFrame:
    """Return the columns that stand beside the rows."""
    import polars as pl

    columns = [pl.Series("prediction", answer.predictions.tolist())]
    if answer.probabilities is not None:
        for i, label in enumerate(bundle.classes or ()):
            columns.append(pl.Series(f"probability_{label}", answer.probabilities[:, i]))
    warnings = [_in_words(row) for row in answer.warnings]
    columns.append(pl.Series("warnings", warnings, dtype=pl.String))
    return pl.DataFrame(columns)


def _in_words(warnings: Sequence[Unusual]) -> str:
    return "; ".join(f"{warning.field}: {warning.message}" for warning in warnings)


def _as_written(source: Path, rows: pl.DataFrame, preparation: Preparation) -> pl.DataFrame:
    """Return the columns of the file without another reading of their values.

    Text stays as it stands there.
    """
    if source.suffix.lower() == ".parquet":
        return rows
    return read_table(source, preparation).frame


def _write(frame: pl.DataFrame, out: Path) -> None:
    try:
        with written_aside(out) as aside:
            if out.suffix.lower() == ".parquet":
                frame.write_parquet(aside)
            else:
                frame.write_csv(aside)
    except OSError as error:
        raise InputError(f"cannot write {str(out)!r}: {error.strerror or error}") from error
