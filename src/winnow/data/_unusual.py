"""Values unlike any that training saw: the model answers for them too, and nothing shows that
it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from winnow.data._columns import Block, Column, iso_date
from winnow.data._rows import ParsedRows

__all__ = ["Unusual", "unusual_in_block", "unusual_in_table"]

LONGEST_VALUE = 40  # characters of a value that a message repeats


class Unusual(NamedTuple):
    """One value that lies outside what the training rows held.

    Attributes:
        field: the column.
        message: what is unusual about it, in a few words.
    """

    field: str
    message: str


def unusual_in_table(parsed: ParsedRows, columns: Sequence[Column]) -> list[list[Unusual]]:
    """For each row its unusual values, in the order of the columns.

    A number is unusual outside the range of the training rows, a category that has no feature of
    its own where it was rare or absent there, and a gap in a column that had none.
    """
    found: list[list[Unusual]] = [[] for _ in range(parsed.count)]
    numbers = iter(parsed.numbers.T)
    for column in columns:
        if column.kind == "category":
            _add_categories(found, column, parsed.texts[column.name])
        else:
            _add_numbers(found, column, next(numbers))
    return found


def unusual_in_block(array_NX: np.ndarray, block: Block) -> list[list[Unusual]]:
    """For each row whose array leaves the range of the training rows, how many values do so.

    Args:
        array_NX: (rows, *block.shape).
    """
    outside_NX = (array_NX < block.minimum) | (array_NX > block.maximum)
    counts_N = outside_NX.reshape(len(array_NX), -1).sum(axis=1).tolist()
    span = f"{block.minimum:.6g} to {block.maximum:.6g}"
    return [
        [
            Unusual(
                block.name,
                f"{n:,} value{'s' * (n > 1)} outside {span}, the range of the training rows",
            )
        ]
        if n
        else []
        for n in counts_N
    ]


def _add_numbers(found: list[list[Unusual]], column: Column, values_N: np.ndarray) -> None:
    if column.gaps == 0:
        for row in np.flatnonzero(np.isnan(values_N)):
            found[row].append(Unusual(column.name, "missing, and no training row lacked it"))
    if column.minimum is None or column.maximum is None:
        return
    show = _date if column.format == "date" else "{:.6g}".format
    span = f"{show(column.minimum)} to {show(column.maximum)}"
    for row in np.flatnonzero((values_N < column.minimum) | (values_N > column.maximum)):
        side = "below" if values_N[row] < column.minimum else "above"
        message = f"{show(values_N[row])} lies {side} {span}, the range of the training rows"
        found[row].append(Unusual(column.name, message))


def _add_categories(
    found: list[list[Unusual]], column: Column, values: Sequence[str | None]
) -> None:
    known = set(column.categories)
    rest = (
        "was rare or absent in the training rows"
        if column.others
        else "was not in the training rows"
    )
    for row, value in enumerate(values):
        if value is None:
            if column.gaps == 0:
                found[row].append(Unusual(column.name, "missing, and no training row lacked it"))
        elif value not in known:
            short = value if len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}..."
            found[row].append(Unusual(column.name, f"{short!r} {rest}"))


def _date(days: float) -> str:
    try:
        return iso_date(days)
    except OverflowError:  # a date may be given as a number of days, and then as any number
        return f"{days:.6g} days after 1970"
