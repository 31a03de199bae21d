"""Learning the steps of the preparation from the training rows, each from what the one before it
gives.

Axes: N rows, F features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from winnow.data._columns import Block
from winnow.data._preparation import Preparation
from winnow.errors import DataError, RecipeError
from winnow.methods import STEPS, BaseStep, Operation, Program
from winnow.recipe import DataStep, made

__all__ = ["fit_steps"]

_SETTING = "data.prepare.steps"
# As a bundle writes it; a bundle reads up to 64 MiB of a preparation
_MOST_BYTES = 48 * 2**20


def fit_steps(
    preparation: Preparation,
    steps: Sequence[BaseStep | DataStep],
    rows: Any,
    targets: np.ndarray,
    notes: list[str],
) -> Preparation:
    """Return the preparation with what the steps learned, and the shape of the features that they
    give.

    Args:
        preparation: without steps, its shape that of its features.
        steps: as they stand in the recipe.
        rows: the training rows, as ``preparation`` takes them.
        targets: of the training rows, (N,), as they were in the data.
        notes: a note for each step is added, on how many features it makes of how many.

    Raises:
        DataError: the rows are arrays of several dimensions, a step of the user's cannot be found,
            or one fails or learns what cannot be applied or stored.
    """
    if isinstance(preparation.columns[0], Block):
        raise DataError(
            f"{_SETTING}: steps take rows of features, and a row here is an array of shape "
            f"{preparation.shape}: leave them out, or give the rows flattened"
        )
    X_NF = preparation.transform(rows).astype(np.float64)
    names = preparation.feature_names
    y_N = preparation.target.encode(targets)
    y_N = y_N.astype(np.int64 if preparation.target.task == "classification" else np.float64)
    operations: list[Operation] = []
    for i, record in enumerate(steps):
        where = f"{_SETTING}[{i}]"
        program = _learned(record, where, X_NF, names, y_N)
        X_NF, before = program.apply(X_NF), len(names)
        names = program.names(names)
        operations += program.operations
        called = record.use if isinstance(record, DataStep) else record.kind
        notes.append(f"{where} ({called}): {before} features become {len(names)}")
    fitted = replace(preparation, program=Program(tuple(operations)), shape=(len(names),))
    size = len(json.dumps(fitted.to_dict(), indent=1))
    if size > _MOST_BYTES:
        raise DataError(
            f"{_SETTING}: what the steps learned takes {size / 2**20:.0f} MiB, and a bundle holds "
            f"at most {_MOST_BYTES // 2**20} MiB of it: let them give fewer features"
        )
    return fitted


def _learned(
    record: BaseStep | DataStep,
    where: str,
    X_NF: np.ndarray,
    names: Sequence[str],
    y_N: np.ndarray,
) -> Program:
    """Return what one step learned."""
    try:
        step = made(record, STEPS, BaseStep, where)
    except RecipeError as error:
        raise DataError(str(error.problems[0])) from None
    try:
        return step.program(X_NF, names, y_N)
    except Exception as error:  # a step of the user's may raise anything
        what = f"{type(step).__name__} failed: {type(error).__name__}: {error}"
        raise DataError(f"{where}: {what}") from error
