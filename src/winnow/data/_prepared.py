"""From a recipe's data section to rows a model can be trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from winnow.data._columns import Block, Column
from winnow.data._fit import fit
from winnow.data._preparation import Preparation
from winnow.data._split import split_rows
from winnow.data._table import Table, load_table
from winnow.errors import DataError
from winnow.recipe import Data, Task

if TYPE_CHECKING:
    import torch

__all__ = ["Part", "Prepared", "Rows", "describe", "prepare"]

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Rows:
    """One part of the rows, ready to train on.

    Attributes:
        X: (N, *in_shape) float32 features.
        y: (N,) class indices as int64, or the standardised target as float32.
        index: (N,) number of each row in the source, from 0.
    """

    X: np.ndarray
    y: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Prepared:
    """Data that is split and prepared, all of it learned from the training rows alone.

    Attributes:
        train, validation, test: the parts.
        preparation: what turns further rows into features, and outputs into answers.
        source: where the rows came from, for people.
        digest: SHA-256 of the source's content.
        notes: what was decided on the way: columns left out, gaps found, how the task was read.
    """

    train: Rows
    validation: Rows
    test: Rows
    preparation: Preparation
    source: str
    digest: str
    notes: tuple[str, ...] = ()
    _tensors: dict[tuple[str, Any], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def task(self) -> Task:
        """What is predicted: ``classification`` or ``regression``."""
        return self.preparation.target.task

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Labels in the order of the outputs, as text; None for a regression."""
        return self.preparation.classes

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of one row's features."""
        return self.preparation.shape

    @property
    def out_features(self) -> int:
        """Number of outputs a model needs: one for each class, or 1."""
        return self.preparation.out_features

    def tensors(
        self, part: Part, dtype: torch.dtype | Literal["float32", "float64"] = "float32"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``(X, y)`` of a part as tensors on the CPU: X (N, *in_shape) of ``dtype``; y (N,) int64, or ``dtype`` for a regression.

        The same tensors are handed out at every call: do not write into them.
        """
        import torch  # here: data is also read where nothing is trained

        real: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        if (part, real) not in self._tensors:
            rows: Rows = getattr(self, part)
            y = torch.tensor(rows.y)
            self._tensors[part, real] = torch.tensor(rows.X, dtype=real), y.to(real) if self.task == "regression" else y
        found: tuple[torch.Tensor, torch.Tensor] = self._tensors[part, real]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tensors": {}}  # a copy for another process makes its own


def prepare(data: Data, *, table: Table | None = None, fold: int | None = None) -> Prepared:
    """Load, split and prepare what ``data`` names; a function of the content, the settings and the split's seed.

    Args:
        table: what ``load_table(data)`` gave, when it was loaded before.
        fold: which fold is held out; the recipe has no folds yet, so only None.

    Raises:
        DataError: nothing there, values that cannot be used, a split that leaves a part without some class.
    """
    if fold is not None:
        raise DataError(f"data.split divides the rows once, there are no folds: expected fold=None, got {fold}")
    table = load_table(data) if table is None else table
    parts = split_rows(table.y, data.split, table.task)
    preparation, notes = fit(table, data, parts.train)
    train, validation, test = (
        Rows(preparation.transform(table.X[rows]), preparation.target.encode(table.y[rows]), table.rows[rows]) for rows in parts
    )
    return Prepared(train, validation, test, preparation, table.source_label, table.digest, (*table.notes, *notes))


def describe(data: Prepared | Table) -> dict[str, Any]:
    """The facts about the data that a report shows, as plain data for JSON."""
    if isinstance(data, Table):
        shown: dict[str, Any] = {
            "classes": None,
            "rows": {"all": len(data)},
            "columns": [{"name": name} for name in data.names],
            "features": None,
            "in_shape": None,
        }
        task, target, source = data.task, data.target, data.source_label
    else:
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        shown = {
            "classes": None if data.classes is None else list(data.classes),
            "rows": {name: len(rows) for name, rows in parts.items()},
            "columns": [{**column.schema(), **_fitted(column)} for column in data.preparation.columns],
            "features": data.preparation.width,
            "in_shape": list(data.in_shape),
        }
        task, target, source = data.task, data.preparation.target.name, data.source
    return {"source": source, "target": target, "task": task, **shown, "notes": list(data.notes), "digest": data.digest}


def _fitted(column: Column | Block) -> dict[str, Any]:
    """What was learned of a number: what it is centred on and divided by, and what stands in for a gap."""
    if isinstance(column, Block):
        return {"mean": list(column.mean), "scale": list(column.scale)}
    if column.kind != "number":
        return {}
    return {"mean": column.mean, "scale": column.scale} | ({"fill": column.fill} if column.gaps else {})
