"""Two runs side by side: how their settings differ, and which of their models is better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from winnow.bundle import MODEL, load, open_session, run_onnx
from winnow.compression import Judge
from winnow.data import PreparedData, Rows, prepare
from winnow.errors import DataError, WinnowError, WorkspaceError
from winnow.pipeline._directory import run_directory
from winnow.pipeline._runs import RunFacts, run_facts_of
from winnow.pipeline._source import settings_of
from winnow.recipe import Recipe
from winnow.stats import Interval

__all__ = ["Comparison", "compare_runs"]

BetterRun = Literal["a", "b", "cannot tell"]
ROWS_AT_ONCE = 1024  # through the model, which bounds the memory


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        a, b: the runs.
        settings: those that differ: dotted path -> (in ``a``, in ``b``).
        advantage: how much better the shipped model of ``a`` is than that of ``b`` in the metric of
            ``a``, paired over the test rows that both have; above 0 is better, also for errors.
            None when the two cannot be paired.
        better: which of the two the rows show to be better.
        reason: why they cannot be paired, or what the verdict rests on.
    """

    a: RunFacts
    b: RunFacts
    settings: dict[str, tuple[object, object]]
    advantage: Interval | None
    better: BetterRun
    reason: str


def compare_runs(a: str | Path, b: str | Path) -> Comparison:
    """Tell how two runs differ in their settings, and which of their models is better.

    The shipped models are compared row by row on the test rows, where both runs have the same.

    Args:
        a, b: run directories, or recipes' files, which stand for their runs.

    Returns:
        The settings that differ, and the verdict.

    Raises:
        WorkspaceError: a run that is not there or cannot be read.
        RecipeError: a recipe that cannot be read.
    """
    left = run_facts_of(run_directory(a))
    right = run_facts_of(run_directory(b))
    left_recipe, right_recipe = _recipe_of(left), _recipe_of(right)
    settings = _differences(left_recipe, right_recipe)
    found = _paired(left, right, left_recipe, right_recipe)
    if isinstance(found, str):
        return Comparison(left, right, settings, None, "cannot tell", found)
    reason = f"the two shipped models on the same {found.n} test rows, paired row by row"
    return Comparison(left, right, settings, found, _better(found), reason)


def _better(advantage: Interval) -> BetterRun:
    """Return the run that is better; an interval that holds 0 tells neither."""
    if advantage.low > 0:
        return "a"
    if advantage.high < 0:
        return "b"
    return "cannot tell"


def _recipe_of(facts: RunFacts) -> Recipe:
    run = facts.documents.run
    if run is None or run.recipe_yaml is None:
        raise WorkspaceError(f"{facts.path} does not say which recipe it was made from")
    return Recipe.from_yaml(run.recipe_yaml)


def _differences(a: Recipe, b: Recipe) -> dict[str, tuple[object, object]]:
    """Return (value in ``a``, value in ``b``) of the settings that differ, by dotted path."""
    left, right = settings_of(a), settings_of(b)
    different: dict[str, tuple[object, object]] = {}
    for path in dict.fromkeys([*left, *right]):
        pair = left.get(path), right.get(path)
        if pair[0] != pair[1]:
            different[path] = pair
    return different


def _paired(a: RunFacts, b: RunFacts, recipe_a: Recipe, recipe_b: Recipe) -> Interval | str:
    """Return how much better ``a`` is on the rows that both have, or why that cannot be said."""
    if a.metric != b.metric:
        return f"they optimize different metrics, {a.metric} and {b.metric}"
    for run in (a, b):
        if run.bytes is None:
            return f"{run.path} has no bundle yet"
    if _digest(a) != _digest(b):
        return "their data are not the same"
    try:
        prepared_a, prepared_b = prepare(recipe_a.data), prepare(recipe_b.data)
        rows_a, rows_b = _test_rows(prepared_a), _test_rows(prepared_b)
        has_same_rows = np.array_equal(rows_a.index, rows_b.index)
        if not has_same_rows or prepared_a.classes != prepared_b.classes:
            return "their test rows are not the same"
        outputs_a, outputs_b = _outputs(a, rows_a), _outputs(b, rows_b)
    except WinnowError as error:
        return f"their test rows cannot be read again: {error}"
    truth = _truth(prepared_a, rows_a)
    # Each decodes its own outputs: the two may have scaled the target differently.
    judge_a = Judge(a.metric, prepared_a.task, truth, prepared_a.preparation.decode)
    judge_b = Judge(a.metric, prepared_b.task, truth, prepared_b.preparation.decode)
    return judge_a.drop(judge_a.predictions(outputs_a), judge_b.predictions(outputs_b))


def _digest(run: RunFacts) -> str | None:
    """Return the digest of the rows that a run was made from."""
    data = run.documents.data
    return None if data is None else data.digest


def _test_rows(prepared: PreparedData) -> Rows:
    if not isinstance(prepared.test, Rows):
        raise DataError("rows of datasets are not held in memory")
    return prepared.test


def _truth(prepared: PreparedData, rows: Rows) -> np.ndarray:
    """Return class indices, or values in the units of the target, (rows,)."""
    if prepared.task == "classification":
        return rows.y
    column = rows.y.astype(np.float64)[:, None]
    return np.asarray(prepared.preparation.decode(column)).reshape(-1)


def _outputs(run: RunFacts, rows: Rows) -> np.ndarray:
    """Return the raw outputs of the model that a run ships, (rows, outputs)."""
    bundle = load(run.path)  # checks every file against the manifest
    session = open_session((bundle.path / MODEL).read_bytes())
    outputs: list[np.ndarray] = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        piece = rows.X[start : start + ROWS_AT_ONCE]
        outputs.append(run_onnx(session, piece))
    return np.concatenate(outputs)
