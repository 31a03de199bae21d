"""What in a table and its split would make scores look better than they are. Each finding is a
note; nothing is changed.

Axes: N rows, F columns.
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

# Of fewer validation rows one column may be right about all by chance
ENOUGH = 20
# Balanced accuracy, on the training and on the validation rows, from which a column alone is worth
# a note
NEARLY = 0.99
# Rank correlation of a column with a quantity, likewise
ALMOST_EQUAL = 0.9995
BINS = 64
# Balanced accuracy by bins from which a column is looked at again without bins
SCREEN = 0.9


def warnings(table: Table, parts: Parts, data: Data) -> tuple[str, ...]:
    """Return notes on columns that alone predict the target, on rows that are in several parts, and
    on dates that are divided at random.

    Columns are judged on training and validation rows. The test rows are only compared with the
    training rows.

    Args:
        table: all rows.
        parts: the rows of each part.
        data: the settings by which the rows were divided.
    """
    return (*_leaks(table, parts), *_repeated(table, parts), *_dates(table, data))


# -- columns that alone predict the target ---------------------------------------------------------


def _leaks(table: Table, parts: Parts) -> list[str]:
    """Return a note for each column that alone predicts the target."""
    if len(parts.validation) < ENOUGH or not _has_columns(table):
        return []
    rows = np.concatenate([parts.train, parts.validation])
    codes_NF = _numbers(table, rows)
    if table.task == "regression":
        found = _follow(codes_NF, table.y[rows].astype(np.float64))
        what = (
            f"puts the rows in nearly the same order as the target {table.target!r} (rank "
            f"correlation above {ALMOST_EQUAL:g})"
        )
    else:
        label_N = np.unique(table.y[rows], return_inverse=True)[1]
        is_validation_N = np.arange(len(rows)) >= len(parts.train)
        found = _separate(codes_NF, label_N, is_validation_N)
        what = (
            f"alone predicts the target {table.target!r} (balanced accuracy above {NEARLY:g} on "
            f"rows that it was not fitted to)"
        )
    hint = "if it is only known together with the target, name it in data.drop"
    return [f"column {table.names[i]!r} {what}: {hint}" for i in found]


def _has_columns(table: Table) -> bool:
    if isinstance(table.X, np.ndarray):
        return table.X.ndim == 2
    return isinstance(table.X, pl.DataFrame)


def _numbers(table: Table, rows: np.ndarray) -> np.ndarray:
    """Return numbers that stand for the values of some rows, (rows, columns).

    Gaps lie below all values, and text goes by the order of the alphabet.
    """
    assert not isinstance(table.X, InputArrays)
    if isinstance(table.X, np.ndarray):
        return table.X[rows].astype(np.float64)
    frame = table.X[rows]
    ranks = frame.select(pl.selectors.string().rank("dense"))
    plain = frame.with_columns(ranks).select(pl.all().cast(pl.Float64))
    below_all = pl.all().min() - 1
    return plain.select(pl.all().fill_null(below_all).fill_null(0.0)).to_numpy()


def _follow(codes_NF: np.ndarray, y_N: np.ndarray) -> list[int]:
    """Return the columns with nearly the target's ranks, rising or falling."""
    from scipy.stats import rankdata

    wanted_N = rankdata(y_N)
    wanted_N -= wanted_N.mean()
    found = []
    for i, code_N in enumerate(codes_NF.T):
        # Of many rows ranks take their time, and a column that is far from the target's order has
        # not its ranks either.
        if len(y_N) > 2000 and not abs(_correlation(code_N, y_N)) > 0.5:
            continue
        rank_N = rankdata(code_N)
        rank_N -= rank_N.mean()
        size = np.sqrt((rank_N**2).sum() * (wanted_N**2).sum())
        if size > 0 and abs((rank_N * wanted_N).sum()) / size > ALMOST_EQUAL:
            found.append(i)
    return found


def _correlation(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Return the correlation of two columns, 0 where one of them has one value only."""
    if a_N.std() == 0 or b_N.std() == 0:
        return 0.0
    return float(np.corrcoef(a_N, b_N)[0, 1])


def _separate(codes_NF: np.ndarray, label_N: np.ndarray, is_validation_N: np.ndarray) -> list[int]:
    """Return the columns from which a small tree, fitted to the training rows, tells the classes of
    the validation rows.
    """
    likely = _separate_by_bins(codes_NF[~is_validation_N], label_N[~is_validation_N])
    if not likely:
        return []
    # Here, since it takes long to load and few tables come so far
    from sklearn.tree import DecisionTreeClassifier

    leaves_at_most = 4 * (int(label_N.max()) + 1)
    found = []
    for i in likely:
        # Trees compute in float32, in which places among the values differ and values may not
        place_N = np.unique(codes_NF[:, i], return_inverse=True)[1]
        place_N1 = place_N[:, None].astype(np.float32)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=leaves_at_most, class_weight="balanced", random_state=0
        )
        tree.fit(place_N1[~is_validation_N], label_N[~is_validation_N])
        guess_N = tree.predict(place_N1)
        scores = [_balanced(guess_N[p], label_N[p]) for p in (~is_validation_N, is_validation_N)]
        if min(scores) >= NEARLY:
            found.append(i)
    return found


def _separate_by_bins(codes_NF: np.ndarray, label_N: np.ndarray) -> list[int]:
    """Return the columns of the training rows that are worth a tree."""
    weight_N = 1.0 / np.bincount(label_N)[label_N]
    # Where the nearest quantiles stand among sorted values
    at = np.round(np.linspace(0, len(label_N) - 1, BINS + 1)).astype(int)
    columns = np.ascontiguousarray(codes_NF.T)
    scores = [_by_bins(code_N, label_N, weight_N, at) for code_N in columns]
    return [i for i, score in enumerate(scores) if score >= SCREEN]


def _by_bins(
    code_N: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, at: np.ndarray
) -> float:
    """Return the balanced accuracy, on training rows, of the likeliest class in each of the
    intervals between the sorted values ``at``.
    """
    edges = np.sort(code_N)[at]
    # An edge that stands twice leaves an interval empty
    interval_N = np.searchsorted(edges, code_N, side="right")
    intervals, classes = len(edges) + 1, int(label_N.max()) + 1
    cell_N = interval_N * classes + label_N
    table = np.bincount(cell_N, weight_N, intervals * classes).reshape(intervals, classes)
    return float(table.max(axis=1).sum() / classes)


def _balanced(guess_N: np.ndarray, label_N: np.ndarray) -> float:
    recalls = [(guess_N[label_N == label] == label).mean() for label in np.unique(label_N)]
    return float(np.mean(recalls))


# -- rows in several parts -------------------------------------------------------------------------


def _repeated(table: Table, parts: Parts) -> list[str]:
    """Return a note where validation or test rows are also among the training rows."""
    key_N = _keys(table)
    known = np.unique(key_N[parts.train])
    held_out = {"validation": parts.validation, "test": parts.test}
    counts = {name: int(np.isin(key_N[rows], known).sum()) for name, rows in held_out.items()}
    found = [f"{n} of {len(held_out[name])} {name} rows" for name, n in counts.items() if n]
    if not found:
        return []
    verb = "is" if sum(counts.values()) == 1 else "are"
    return [
        f"{' and '.join(found)} {verb} also among the training rows, every column and the target "
        f"equal: if these are the same cases, scores come out too good, and the file should hold "
        f"each once"
    ]


def _keys(table: Table) -> np.ndarray:
    """Return a hash of each row and its target, (rows,)."""
    y = pl.Series("y", [str(value) for value in table.y.tolist()])
    if isinstance(table.X, pl.DataFrame):
        hashes = [table.X.hash_rows().alias("x")]
    else:
        arrays = leaves(table.X[:] if isinstance(table.X, InputArrays) else table.X)
        hashes = [_hashes(array).alias(f"x{i}") for i, array in enumerate(arrays)]
    return pl.DataFrame([*hashes, y]).hash_rows().to_numpy()


def _hashes(array: np.ndarray) -> pl.Series:
    """Return a hash of each row of an array (rows, ...)."""
    flat = np.ascontiguousarray(array.reshape(len(array), -1))
    return pl.Series([hash(row.tobytes()) for row in flat])


# -- dates that are divided at random --------------------------------------------------------------


def _dates(table: Table, data: Data) -> list[str]:
    """Return a note where there are dates and the rows are not divided by time."""
    names = set(table.names)
    dates = [n for n, format_ in table.formats.items() if format_ == "date" and n in names]
    if not dates or data.split.order_by is not None:
        return []
    return [
        f"column {dates[0]!r} holds dates, and the rows are divided at random: when later rows are "
        f"to be predicted from earlier ones, scores may come out too good; `data.split.order_by: "
        f"{dates[0]}` trains on the oldest rows and tests on the newest"
    ]
