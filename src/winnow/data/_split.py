"""Which rows train, which choose, which judge."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from winnow.data._columns import Target
from winnow.data._rare import OFFER
from winnow.errors import DataError
from winnow.recipe import Split, Task, derive_seed

__all__ = ["FEWEST_TO_HALVE", "Parts", "halves", "split_rows"]

FEWEST_TO_HALVE = 10  # rows: of fewer than five an epoch is chosen by luck


class Parts(NamedTuple):
    """Positions of the rows of each part, ascending; together all rows, none twice."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split_rows(y: np.ndarray, split: Split, task: Task, order: np.ndarray | None = None) -> Parts:
    """Divide ``len(y)`` rows, at random or by an order; a function of ``y``, ``order``, the
    settings and their seed alone.

    Classification: every part keeps each class's share when ``split.stratify``, and every class is
    in every part.

    Args:
        y: (N,) the target.
        split: the settings.
        task: what is predicted.
        order: (N,) what the rows are put in order by: the lowest train, the next validate, the
            highest test. Rows with equal values stay as they stand in the source.
            ``split.stratify`` means nothing then. None: at random.

    Raises:
        DataError: a part without rows, or without rows of some class; it says which, how many there
            are, and what to change.
    """
    sizes = {"test": round(len(y) * split.test), "validation": round(len(y) * split.validation)}
    least = 2  # the spread of one row is not defined
    for part, size in sizes.items():
        if size < least:
            share = getattr(split, part)
            raise DataError(
                f"data.split.{part}: {share:g} of {len(y)} rows is {size}: expected at least "
                f"{least}; "
                f"raise it to {least / len(y):.2g}"
            )
    if len(y) - sum(sizes.values()) < least:
        raise DataError(
            f"data.split: test + validation take {sum(sizes.values())} of {len(y)} rows: too few "
            f"are left for training"
        )
    labels = np.unique(y, return_inverse=True)[1] if task == "classification" else None
    if labels is not None:
        _enough_of_each(y, split, sizes)
    shares = labels if split.stratify else None
    parts = _cut(order, sizes) if order is not None else _divide(len(y), sizes, shares, split.seed)
    if labels is not None:
        _all_classes_everywhere(y, parts, split)
    return parts


def halves(rows: int, seed: int, y: np.ndarray | None = None) -> np.ndarray | None:
    """Return 0 or 1 for each of ``rows`` validation rows, (N,) int64: two halves that choose each
    other's epoch.

    Their sizes differ by one at most. A function of the arguments alone.

    Args:
        rows: how many.
        seed: of the data's split.
        y: (N,) class indices, of which each is halved as evenly as possible; None: by position
            alone, as of a quantity, or where the rows are not read for it.

    Returns:
        None where there are fewer than ``FEWEST_TO_HALVE`` rows.
    """
    if rows < FEWEST_TO_HALVE:
        return None
    rng = np.random.default_rng(derive_seed(seed, "halves"))
    order = rng.permutation(rows)
    if y is not None:
        # At random within a class, then every other row
        order = order[np.argsort(y[order], kind="stable")]
    half = np.empty(rows, dtype=np.int64)
    half[order] = (np.arange(rows) + rng.integers(2)) % 2
    return half


def _divide(rows: int, sizes: dict[str, int], labels: np.ndarray | None, seed: int) -> Parts:
    # Here, since it takes a second to load and serving does not need it
    from sklearn.model_selection import train_test_split

    everything = np.arange(rows)
    rest, test = train_test_split(
        everything, test_size=sizes["test"], random_state=seed, stratify=labels
    )
    left = None if labels is None else labels[rest]
    train, validation = train_test_split(
        rest, test_size=sizes["validation"], random_state=seed, stratify=left
    )
    return Parts(np.sort(train), np.sort(validation), np.sort(test))


def _cut(order: np.ndarray, sizes: dict[str, int]) -> Parts:
    places = np.argsort(order, kind="stable")
    validation = len(order) - sizes["test"] - sizes["validation"]
    parts = np.split(places, [validation, validation + sizes["validation"]])
    return Parts(*(np.sort(part) for part in parts))


def _enough_of_each(y: np.ndarray, split: Split, sizes: dict[str, int]) -> None:
    values, counts = np.unique(y, return_counts=True)
    rarest = int(counts.argmin())
    if counts[rarest] < 3:
        few = [f"{Target.label(v)!r} ({c})" for v, c in zip(values, counts, strict=True) if c < 3]
        more = f" and {len(few) - 5} more" if len(few) > 5 else ""
        raise DataError(
            f"data.split: expected at least 3 rows of each class, one for each of train, "
            f"validation and test; "
            f"too few of {', '.join(few[:5])}{more}: {OFFER}"
            + (
                "; if the target is a quantity, use `task: regression`"
                if y.dtype.kind in "if"
                else ""
            )
        )
    for part, size in sizes.items():
        if size < len(values):
            share = getattr(split, part)
            raise DataError(
                f"data.split.{part}: {share:g} of {len(y)} rows is {size}, fewer than the "
                f"{len(values)} classes: "
                f"raise it to at least {len(values) / len(y):.2g}"
            )


def _all_classes_everywhere(y: np.ndarray, parts: Parts, split: Split) -> None:
    for part, rows in parts._asdict().items():
        values = np.unique(y)
        absent = (
            values[~np.isin(values, y[rows])]
            if y.dtype != object
            else [v for v in values if v not in set(y[rows])]
        )
        if len(absent) == 0:
            continue
        label, rare = (
            absent[0],
            f"{OFFER}, with `data.rare_below: {int((y == absent[0]).sum()) + 1}`",
        )
        counts = ", ".join(
            f"{name} {int((y[r] == label).sum())}" for name, r in parts._asdict().items()
        )
        if split.order_by is not None:
            fix = (
                f"by the order of {split.order_by!r}: change the shares, or leave "
                f"data.split.order_by out to divide at random"
            )
        elif not split.stratify:
            fix = "set data.split.stratify: true"
        elif part == "train":
            fix = f"lower data.split.test or data.split.validation, or {rare}"
        else:
            fix = f"raise data.split.{part}, or {rare}"
        raise DataError(
            f"data.split: the {part} part has no rows of class {Target.label(label)!r} "
            f"({counts}): {fix}"
        )
