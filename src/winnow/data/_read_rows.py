"""Files of rows to predict: read by what the columns were in training, not by what their values
look like today.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from winnow.data._columns import Column
from winnow.data._csv import blank_to_null, is_stray
from winnow.data._preparation import Preparation
from winnow.data._source import read_parquet
from winnow.data._text import TEXT_FILES, Style, Text, read_text
from winnow.data._written import expected, parse
from winnow.errors import DataError, InputError, Problem, nearest

__all__ = ["read_rows", "read_table"]

MOST_NAMES = 20  # that one message tells


def read_rows(path: str | Path, preparation: Preparation) -> pl.DataFrame:
    """Return the rows of a .csv, .tsv or .parquet file, its columns typed for
    ``preparation.transform``; other columns are kept as text.

    Text is read as that of the training rows was: with the same decimal mark, the same form of
    dates.

    Raises:
        DataError: no such file, or one that cannot be read.
        InputError: columns that are missing, in one message; values that do not fit their column:
            ``problems`` names the row, the field and the line of each.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    if path.suffix.lower() not in (*TEXT_FILES, ".parquet"):
        raise DataError(f"expected a .csv, .tsv or .parquet file of rows, got {str(path)!r}")
    if path.suffix.lower() == ".parquet":
        frame = read_parquet(path)
        _check_columns(frame.columns, preparation)
        return frame
    text = read_table(path, preparation)
    _check_columns(text.frame.columns, preparation)
    columns = {c.name: c for c in preparation.columns if isinstance(c, Column)}
    problems: list[Problem] = []
    typed = [
        _typed(series, columns.get(series.name), text, problems)
        for series in text.frame.get_columns()
    ]
    if problems:
        raise InputError(problems)
    return pl.DataFrame(typed)


def _check_columns(there: list[str], preparation: Preparation) -> None:
    names = [c.name for c in preparation.columns if isinstance(c, Column)]
    known = set(there)
    missing = [name for name in names if name not in known]
    if not missing:
        return
    others = [name for name in there if name not in set(names)]
    close = {name: nearest(name, others) for name in missing[:MOST_NAMES]}
    shown = [
        f"{name!r} (is it {found!r}?)" if found else repr(name) for name, found in close.items()
    ]
    raise InputError(
        f"these columns are missing: {_few(shown, len(missing))}; the table has: "
        f"{_few(list(map(repr, there)))}"
    )


def _few(names: list[str], count: int | None = None) -> str:
    more = (len(names) if count is None else count) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def read_table(path: Path, preparation: Preparation) -> Text:
    """Return a file of text as it stands, with the encoding and the separator of the training file
    where it does not say otherwise.

    Raises:
        DataError: it cannot be read.
    """
    asked = preparation.separator
    if asked is not None:
        names = {c.name for c in preparation.columns}
        text = read_text(path, Style(separator=asked, otherwise=preparation.encoding))
        if names & set(text.frame.columns):
            return text
    return read_text(path, Style(otherwise=preparation.encoding))


def _typed(
    written: pl.Series, column: Column | None, text: Text, problems: list[Problem]
) -> pl.Series:
    series = blank_to_null(written)
    if column is None or column.kind == "category":
        return series
    series = series.set(is_stray(series).fill_null(False), None)
    if column.kind == "boolean":
        low = series.str.to_lowercase()
        typed = low.replace_strict(
            {"true": True, "1": True, "false": False, "0": False},
            default=None,
            return_dtype=pl.Boolean,
        )
    else:
        typed = parse(series, column)
    for row in np.flatnonzero((typed.is_null() & series.is_not_null()).to_numpy())[:20]:
        what = f"expected {expected(column)}, got {series[int(row)]!r} ({text.line(int(row))})"
        problems.append(Problem(f"rows[{row}].{column.name}", what))
    return typed
