"""A recipe for data that has none: sensible ranges, sized by what the data are."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from winnow.data._prepared import Prepared, prepare_once
from winnow.data._source import FILES, FrameSource, read_source
from winnow.data._table import Table, load_table
from winnow.errors import DataError
from winnow.recipe import (
    LONGEST_NAME,
    Ablate,
    AdamW,
    Choice,
    Cosine,
    Data,
    EarlyStopping,
    Integer,
    Log,
    Model,
    Recipe,
    Search,
    Train,
    Uniform,
)

__all__ = ["metric_note", "sketch_recipe"]

SKEWED = 0.8  # share of the most frequent class from which on accuracy is not the metric
STEPS = 1000  # of the optimizer in one training, about
MOST_EPOCHS = 120
_COUNTER = re.compile(
    r"(?i:^(id|index|idx|row|nr|no|number)$|_(id|index|idx|row|nr|no|number)$)|[a-z](Id|ID|Index|Nr|No|Number)$"
)
WIDE = 5000  # training rows from which on wider networks are tried, and more of them
SMALL_STEPS = (
    800  # below that; one width, so that trials share fleets: half the time at the same scores (benchmarks/default_run.py)
)
SMALL_WIDTH = 64


def sketch_recipe(
    source: str, target: str | None = None, *, task: Literal["auto", "classification", "regression"] = "auto"
) -> Recipe:
    """A recipe with ranges for an MLP on ``source``; the data are read, so that what cannot be used is refused here.

    Where always answering the most frequent class would be right for four training rows in five or more, accuracy says little:
    the metric is then ROC AUC for two classes, and balanced accuracy for more.

    Args:
        source: what ``Data.source`` takes: ``sklearn:<name>``, a .csv or .parquet file, ``package.module:function``.
        target: the column to predict; needed for files and frames.

    Raises:
        RecipeError: a source that is none.
        DataError: data that cannot be used, a file without a target.
    """
    if target is None and source.lower().endswith(FILES):
        _ask_for_target(source)
    data = Data(source=source, target=target, task=task)
    table = load_table(data)
    counters = _row_counters(table)
    if counters:
        data = Data(source=source, target=target, task=task, drop=counters)
    prepared = _prepared(data, table=load_table(data) if counters else table)
    rows = len(prepared.train)
    is_classification = prepared.task == "classification"
    batch = _batch_size(rows)
    steps = STEPS if rows >= WIDE else SMALL_STEPS
    epochs = min(MOST_EPOCHS, max(3, round(steps / max(1, rows // batch))))
    return Recipe(
        name=_name(source),
        metric=_metric(prepared),
        data=data,
        model=Model("mlp", width=Choice(64, 128, 256) if rows >= WIDE else SMALL_WIDTH, depth=Integer(1, 3)),
        train=Train(
            epochs=epochs,
            batch_size=batch,
            optimizer=AdamW(lr=Log(3e-4, 3e-2), weight_decay=Log(1e-4, 1.0)),
            schedule=Cosine(warmup=0.1),
            dropout=Uniform(0.0, 0.5),
            label_smoothing=Uniform(0.0, 0.2) if is_classification else 0.0,
            early_stopping=EarlyStopping(patience=max(3, epochs // 4)),
        ),
        search=Search(trials=48 if rows >= WIDE else 32),
        ablate=Ablate(smallest_effect=_least(prepared, 0.005)),
    )


def _prepared(data: Data, table: Table | None = None) -> Prepared:
    """The rows as they are; or without rare classes where those cannot be divided, since the setting for them comes after the
    recipe is written. A run without it is refused then.
    """
    try:
        return prepare_once(data, table=table)
    except DataError:
        try:
            return prepare_once(Data(**{**dict(data), "rare_classes": "drop"}))
        except DataError:
            pass
        raise


def _ask_for_target(source: str) -> None:
    found = read_source(source)
    known = ", ".join(found.typed.frame.columns[:30]) if isinstance(found, FrameSource) else ""
    wanted = "the name of the column to predict (--target, or `target=`)"
    raise DataError(f"target: expected {wanted}, got none - columns of {source}: {known}")


def _row_counters(table: Table) -> tuple[str, ...]:
    """Columns that are called a number of the row and are one; none when nothing else would be left."""
    if isinstance(table.X, np.ndarray):
        return ()
    named = [name for name in table.names if _COUNTER.search(name) and table.X[name].dtype == pl.Float64]
    found = tuple(name for name in named if (table.X[name] - pl.Series(table.rows)).n_unique() == 1)
    return found if len(found) < len(table.names) else ()


def _batch_size(rows: int) -> int:
    """A sixteenth of the rows as a power of two, 16 to 256, and never more than there are rows."""
    exponent = min(8, max(4, round(math.log2(rows / 16))))
    return int(2 ** min(exponent, math.floor(math.log2(rows))))


def _least(prepared: Prepared, share: float) -> float:
    """What does not matter: ``share`` of the accuracy, or of the target's deviation in two digits."""
    return share if prepared.task == "classification" else float(f"{share * prepared.preparation.target_scale:.2g}")


def _metric(prepared: Prepared) -> Literal["auto", "roc_auc", "balanced_accuracy"]:
    if prepared.task != "classification" or _most_frequent(prepared)[1] < SKEWED:
        return "auto"
    return "roc_auc" if prepared.out_features == 2 else "balanced_accuracy"


def _most_frequent(prepared: Prepared) -> tuple[str, float]:
    """The most frequent class and its share of the training rows."""
    counts = np.bincount(prepared.train.y, minlength=prepared.out_features)
    assert prepared.classes is not None
    return prepared.classes[int(counts.argmax())], float(counts.max() / counts.sum())


def metric_note(recipe: Recipe) -> str | None:
    """Why a sketched recipe has another metric than accuracy; None where it has not."""
    if recipe.metric == "auto":
        return None
    label, share = _most_frequent(_prepared(recipe.data))
    words = {"roc_auc": "ROC AUC", "balanced_accuracy": "balanced accuracy"}[recipe.metric]
    return (
        f"always answering {label!r} would be right for {100 * share:.3g} % of the training rows: the score is {words} "
        f"(metric: {recipe.metric}) and not accuracy"
    )


def _name(source: str) -> str:
    """A name for the recipe, of letters, digits, ``-`` and ``_``: the set's, the file's or the function's."""
    last = Path(source).stem if source.lower().endswith(FILES) else source.rpartition(":")[2]
    name = re.sub(r"[^\w-]+", "_", last).strip("_") or "recipe"
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")
