"""What in a table and its split would make scores look better than they are. Each finding is a
note; nothing is changed.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from winnow.data._inputs import InputArrays
from winnow.data._split import Parts
from winnow.data._table import Table
from winnow.recipe import Data
from winnow.trees import leaves

__all__ = ["warnings"]

ENOUGH = 20  # validation rows below which one column may be right about all of them by chance
# Balanced accuracy, on the training and on the validation rows, from which a column alone is worth
# a note
NEARLY = 0.99
ALMOST_EQUAL = 0.9995  # rank correlation of a column with a quantity, likewise
BINS = 64
SCREEN = 0.9  # balanced accuracy by bins from which a column is looked at again without bins


def warnings(table: Table, parts: Parts, data: Data) -> tuple[str, ...]:
    """Notes on columns that alone predict the target, on rows in several parts, and on dates that
    are divided at random.

    Columns are judged on training and validation rows. The test rows are only compared with the
    training rows.
    """
    return (*_leaks(table, parts), *_repeated(table, parts), *_dates(table, data))


# -- columns that alone predict the target ---------------------------------------------------------


def _has_columns(table: Table) -> bool:
    if isinstance(table.X, np.ndarray):
        return table.X.ndim == 2
    return isinstance(table.X, pl.DataFrame)


def _leaks(table: Table, parts: Parts) -> list[str]:
    if len(parts.validation) < ENOUGH or not _has_columns(table):
        return []
    rows = np.concatenate([parts.train, parts.validation])
    codes = _numbers(table, rows)
    is_validation = np.arange(len(rows)) >= len(parts.train)
    if table.task == "regression":
        found = _follow(codes, table.y[rows].astype(np.float64))
        what = (
            f"puts the rows in nearly the same order as the target {table.target!r} (rank "
            f"correlation above {ALMOST_EQUAL:g})"
        )
    else:
        labels = np.unique(table.y[rows], return_inverse=True)[1]
        found = _separate(codes, labels, is_validation)
        what = (
            f"alone predicts the target {table.target!r} (balanced accuracy above {NEARLY:g} on "
            f"rows that it was not fitted to)"
        )
    hint = "if it is only known together with the target, name it in data.drop"
    return [f"column {name!r} {what}: {hint}" for name in (table.names[i] for i in found)]


def _numbers(table: Table, rows: np.ndarray) -> np.ndarray:
    """(rows, columns) of numbers that stand for the values, gaps below all of them; text in the
    order of the alphabet.
    """
    assert not isinstance(table.X, InputArrays)
    if isinstance(table.X, np.ndarray):
        return table.X[rows].astype(np.float64)
    frame = table.X[rows]
    ranks = frame.select(pl.selectors.string().rank("dense"))
    plain = frame.with_columns(ranks).select(pl.all().cast(pl.Float64))
    return plain.select(pl.all().fill_null(pl.all().min() - 1).fill_null(0.0)).to_numpy()


def _follow(codes: np.ndarray, y: np.ndarray) -> list[int]:
    """Columns with nearly the target's ranks, rising or falling."""
    from scipy.stats import rankdata

    wanted = rankdata(y)
    wanted -= wanted.mean()
    found = []
    for i in range(codes.shape[1]):
        sample = np.corrcoef(codes[:, i], y)[0, 1] if codes[:, i].std() > 0 and y.std() > 0 else 0.0
        # Far from it: the ranks of many rows are not worth the time
        if not abs(sample) > 0.5 and len(y) > 2000:
            continue
        ranks = rankdata(codes[:, i])
        ranks -= ranks.mean()
        size = np.sqrt((ranks**2).sum() * (wanted**2).sum())
        if size > 0 and abs((ranks * wanted).sum()) / size > ALMOST_EQUAL:
            found.append(i)
    return found


def _separate(codes: np.ndarray, labels: np.ndarray, is_validation: np.ndarray) -> list[int]:
    """Columns from which a small tree, fitted to the training rows, tells the classes of the
    validation rows.
    """
    train, held = ~is_validation, is_validation
    weights = 1.0 / np.bincount(labels[train])[labels]
    # Of the nearest quantiles among sorted values
    at = np.round(np.linspace(0, train.sum() - 1, BINS + 1)).astype(int)
    columns, known, heavy = np.ascontiguousarray(codes[train].T), labels[train], weights[train]
    likely = [i for i, values in enumerate(columns) if _by_bins(values, known, heavy, at) >= SCREEN]
    if not likely:
        return []
    # Here, since it takes long to load and few tables come so far
    from sklearn.tree import DecisionTreeClassifier

    classes = int(labels.max()) + 1
    found = []
    for i in likely:
        # Trees compute in float32
        places = np.unique(codes[:, i], return_inverse=True)[1][:, None].astype(np.float32)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * classes, class_weight="balanced", random_state=0
        )
        guess = tree.fit(places[train], labels[train]).predict(places)
        if min(_balanced(guess[part], labels[part]) for part in (train, held)) >= NEARLY:
            found.append(i)
    return found


def _by_bins(values: np.ndarray, labels: np.ndarray, weights: np.ndarray, at: np.ndarray) -> float:
    """Balanced accuracy on training rows of the likeliest class in each of the intervals
    between the sorted values ``at``.
    """
    edges = np.sort(values)[at]
    # An edge that stands twice leaves an interval empty
    place = np.searchsorted(edges, values, side="right")
    classes = int(labels.max()) + 1
    table = np.bincount(place * classes + labels, weights, (len(edges) + 1) * classes).reshape(
        -1, classes
    )
    return float(table.max(axis=1).sum() / classes)


def _balanced(guess: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([(guess[labels == label] == label).mean() for label in np.unique(labels)]))


# -- rows in several parts -------------------------------------------------------------------------


def _repeated(table: Table, parts: Parts) -> list[str]:
    keys = _keys(table)
    known = np.unique(keys[parts.train])
    counts = {
        name: int(np.isin(keys[rows], known).sum())
        for name, rows in (("validation", parts.validation), ("test", parts.test))
    }
    if not any(counts.values()):
        return []
    verb = "is" if sum(counts.values()) == 1 else "are"
    words = " and ".join(
        f"{n} of {len(getattr(parts, part))} {part} rows" for part, n in counts.items() if n
    )
    return [
        f"{words} {verb} also among the training rows, every column and the target equal: if "
        f"these are the same cases, scores "
        "come out too good, and the file should hold each once"
    ]


def _keys(table: Table) -> np.ndarray:
    """(N,) a hash of each row and its target."""
    y = pl.Series("y", [str(v) for v in table.y.tolist()])
    if not isinstance(table.X, pl.DataFrame):
        arrays = leaves(table.X[:] if isinstance(table.X, InputArrays) else table.X)
        rows = [_hashes(array).alias(f"x{i}") for i, array in enumerate(arrays)]
        return pl.DataFrame([*rows, y]).hash_rows().to_numpy()
    numbered = pl.DataFrame([table.X.hash_rows().alias("x"), y])
    return numbered.hash_rows().to_numpy()


def _hashes(array: np.ndarray) -> pl.Series:
    flat = np.ascontiguousarray(array.reshape(len(array), -1))
    return pl.Series([hash(row.tobytes()) for row in flat])


# -- dates that are divided at random --------------------------------------------------------------


def _dates(table: Table, data: Data) -> list[str]:
    dates = [
        name for name, form in table.formats.items() if form == "date" and name in set(table.names)
    ]
    if not dates or data.split.order_by is not None:
        return []
    return [
        f"column {dates[0]!r} holds dates, and the rows are divided at random: when later rows "
        f"are to be predicted from earlier "
        f"ones, scores may come out too good; `data.split.order_by: {dates[0]}` trains on the "
        f"oldest rows and tests on the newest"
    ]
