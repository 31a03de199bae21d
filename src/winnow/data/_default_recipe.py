"""A recipe for data that has none: sensible ranges, sized by what the data are."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from winnow.data._prepared import PreparedData, prepare_once
from winnow.data._source import FILES, FrameSource, read_source
from winnow.data._table import Table, load_table
from winnow.data._worth import rounded_up, row_worth, validation_counts
from winnow.errors import DataError
from winnow.methods import AdamW, Cosine
from winnow.recipe import (
    LONGEST_NAME,
    Ablate,
    Choice,
    Compress,
    Data,
    EarlyStopping,
    Integer,
    Log,
    Model,
    Recipe,
    Search,
    Train,
    Uniform,
    metric_label,
    metric_of,
)

__all__ = ["default_recipe", "default_recipe_notes"]

# Of a score that weighs classes alike: what matters surely, however few rows there are of a class
MOST_FOR_ROWS = 0.05
SKEWED = 0.8  # share of the most frequent class from which on accuracy is not the metric
STEPS = 1000  # of the optimizer in one training, about
MOST_EPOCHS = 120
_COUNTER = re.compile(
    r"(?i:^(id|index|idx|row|nr|no|number)$|_(id|index|idx|row|nr|no|number)$)|[a-z](Id|ID|Index|Nr|No|Number)$"
)
WIDE = 5000  # training rows from which on wider networks are tried, and more of them
SMALL_STEPS = (
    # Below that; one width, so that trials share fleets: half the time at the same scores
    # (benchmarks/default_run.py)
    800
)
SMALL_WIDTH = 64


def default_recipe(
    source: str,
    target: str | None = None,
    *,
    task: Literal["auto", "classification", "regression"] = "auto",
    metric: str | None = None,
) -> Recipe:
    """Return a recipe with ranges for an MLP on ``source``; the data are read, so that what cannot
    be used is refused here.

    Where always answering the most frequent class would be right for four training rows in five or
    more, accuracy says little: the metric is then ROC AUC for two classes, and balanced accuracy
    for more. With these two a single row of a rare class can move the score far, so the smallest
    effect and the budget are at least what it can, and at most 0.05 for that: below it nothing
    could be shown.

    Args:
        source: what ``Data.source`` takes: ``sklearn:<name>``, a .csv or .parquet file,
            ``package.module:function``.
        target: the column to predict; needed for files and frames.
        metric: what is to be scored; None: it is chosen as above.

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
    metric = metric or _metric(prepared)
    worth = _rare_row(prepared, metric, data.split.seed)
    raised = 0.0 if worth is None else min(rounded_up(worth), MOST_FOR_ROWS)
    return Recipe(
        name=_name(source),
        metric=metric,
        data=data,
        model=Model(
            "mlp", width=Choice(64, 128, 256) if rows >= WIDE else SMALL_WIDTH, depth=Integer(1, 3)
        ),
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
        ablate=Ablate(smallest_effect=max(_least(prepared, 0.005), raised)),
        compress=Compress(budget=max(Compress().budget, raised)),
    )


def _prepared(data: Data, table: Table | None = None) -> PreparedData:
    """Return the rows as they are; or without rare classes where those cannot be divided, since the
    setting for them comes after the recipe is written. A run without it is refused then.
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
    """Return columns that are called a number of the row and are one; none when nothing else would
    be left.
    """
    if not isinstance(table.X, pl.DataFrame):
        return ()
    named = [
        name for name in table.names if _COUNTER.search(name) and table.X[name].dtype == pl.Float64
    ]
    found = tuple(name for name in named if (table.X[name] - pl.Series(table.rows)).n_unique() == 1)
    return found if len(found) < len(table.names) else ()


def _batch_size(rows: int) -> int:
    """Return a sixteenth of the rows as a power of two, 16 to 256, and never more than there are
    rows.
    """
    exponent = min(8, max(4, round(math.log2(rows / 16))))
    return int(2 ** min(exponent, math.floor(math.log2(rows))))


def _least(prepared: PreparedData, share: float) -> float:
    """Return what does not matter: ``share`` of the accuracy, or of the target's deviation in two
    digits.
    """
    return (
        share
        if prepared.task == "classification"
        else float(f"{share * prepared.preparation.target_scale:.2g}")
    )


def _metric(prepared: PreparedData) -> str:
    if prepared.task != "classification" or _most_frequent(prepared)[1] < SKEWED:
        return "auto"
    return "roc_auc" if prepared.out_features == 2 else "balanced_accuracy"


def _most_frequent(prepared: PreparedData) -> tuple[str, float]:
    """Return the most frequent class and its share of the training rows."""
    counts = np.bincount(prepared.train.y, minlength=prepared.out_features)
    assert prepared.classes is not None
    return prepared.classes[int(counts.argmax())], float(counts.max() / counts.sum())


def _rare_row(prepared: PreparedData, metric: str, seed: int) -> float | None:
    """By how much a validation row of the rarest class can move a score that weighs classes
    alike; None for other scores.
    """
    return row_worth(prepared, metric, seed) if _is_by_class(metric) else None


def _is_by_class(metric: str) -> bool:
    return metric != "auto" and metric_of(metric).by_class


def default_recipe_notes(recipe: Recipe) -> tuple[str, ...]:
    """Return what was decided in a default recipe that is scored by what weighs classes alike,
    such as ROC AUC or balanced accuracy, and why; nothing about others.
    """
    if not _is_by_class(recipe.metric):
        return ()
    try:
        prepared = _prepared(recipe.data)
    # Settings that were changed since: the check of the recipe says what is wrong
    except DataError:
        return ()
    if prepared.task != "classification":
        return ()
    notes = []
    label, share = _most_frequent(prepared)
    words = metric_label(recipe.metric)
    if share >= SKEWED:
        notes.append(
            f"always answering {label!r} would be right for {100 * share:.3g} % of the training "
            f"rows: the score is {words} "
            f"(metric: {recipe.metric}) and not accuracy"
        )
    worth, effect = (
        _rare_row(prepared, recipe.metric, recipe.data.split.seed),
        recipe.ablate.smallest_effect,
    )
    if worth is not None and worth > Ablate().smallest_effect:
        rarest, rows = _rarest(prepared, recipe.data.split.seed)
        can = (
            f"one validation row of the rarest class ({rarest!r}, {rows} rows) can move {words} "
            f"by {worth:.2g}"
        )
        enough = worth <= effect + 1e-9
        shown = (
            "no part can be shown to make no difference within less"
            if enough
            else "that is more than is asked for"
        )
        only = (
            ""
            if enough
            else ", so a part is only shown to make no difference where it changes no prediction"
        )
        notes.append(
            f"{can}: {shown} (ablate.smallest_effect: {effect:g}, compress.budget: "
            f"{recipe.compress.budget:g}){only}"
        )
    return tuple(notes)


def _rarest(prepared: PreparedData, seed: int) -> tuple[str, int]:
    """Return the class of the fewest validation rows, and how many it has."""
    counts = validation_counts(prepared, seed).sum(axis=0)
    assert prepared.classes is not None
    rarest = int(np.where(counts > 0, counts, counts.sum() + 1).argmin())
    return prepared.classes[rarest], int(counts[rarest])


def _name(source: str) -> str:
    """Return a name for the recipe, of letters, digits, ``-`` and ``_``: the set's, the file's or
    the function's.
    """
    last = Path(source).stem if source.lower().endswith(FILES) else source.rpartition(":")[2]
    name = re.sub(r"[^\w-]+", "_", last).strip("_") or "recipe"
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")
