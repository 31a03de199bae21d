"""From a recipe's data section to rows a model can be trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from winnow.data._columns import Block, Column, rows_at_once
from winnow.data._fit import fit
from winnow.data._inputs import InputArrays
from winnow.data._preparation import Preparation
from winnow.data._record import DataRecord
from winnow.data._source import DatasetSource, file_digest, read_source
from winnow.data._split import FEWEST_TO_HALVE, halves, split_rows
from winnow.data._table import Table, load_table
from winnow.data._text import Style
from winnow.data._warn import warnings
from winnow.errors import DataError
from winnow.recipe import Data, Task, is_file
from winnow.trees import Tree, leaves, map_tree

if TYPE_CHECKING:
    import torch

    from winnow.data._stream import StreamedRows

__all__ = ["Part", "PreparedData", "Rows", "describe", "prepare", "prepare_once"]

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Rows:
    """One part of the rows, ready to train on.

    Attributes:
        X: (N, *in_shape) float32 features; several inputs where the data has several.
        y: (N,) class indices as int64, or the standardized target as float32.
        index: (N,) number of each row in the source, from 0.
        weights: (N,) how much each row counts in training, 1 on average; None: all alike. Only
            training rows have them.
    """

    X: np.ndarray | InputArrays
    y: np.ndarray
    index: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class PreparedData:
    """Data that is split and prepared, all of it learned from the training rows alone.

    Attributes:
        train, validation, test: the parts; of datasets, rows that are read when they are needed.
        preparation: what turns further rows into features, and outputs into answers.
        source: where the rows came from, for people.
        digest: SHA-256 of the source's content; of datasets, of what can be seen of them without
            reading them whole.
        notes: what was decided on the way: columns left out, gaps found, how the task was read.
    """

    train: Rows | StreamedRows
    validation: Rows | StreamedRows
    test: Rows | StreamedRows
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
    def inputs(self) -> Tree:
        """What the model gets: one ``trees.Input``, or a tuple or mapping of them."""
        return self.preparation.inputs

    @property
    def in_shape(self) -> Any:
        """Shape of one row's features; of several inputs, a tuple or mapping of shapes."""
        return map_tree(lambda one: one.shape, self.inputs)

    @property
    def out_features(self) -> int:
        """Number of outputs a model needs: one for each class, or 1."""
        return self.preparation.out_features

    @property
    def is_streamed(self) -> bool:
        """Whether the rows stay in datasets, to be read in batches."""
        return not isinstance(self.train, Rows)

    @property
    def rows_at_once(self) -> int:
        """Rows that are held at once where a part is gone through piece by piece."""
        return rows_at_once(self.preparation.width)

    def halves(self, seed: int) -> np.ndarray | None:
        """Return 0 or 1 for each validation row, (N,) int64: the half that it is in, where the
        epoch at which a half scores is chosen by the other half. Each class is halved as evenly as
        possible; streamed rows are halved by position, without reading them.

        None, and the rows choose the epoch at which they score, where they are fewer than ten, or
        where a half would hold but one class, or one value of the target.

        Args:
            seed: of the data's split.
        """
        if not isinstance(self.validation, Rows):
            return halves(len(self.validation), seed)
        y = self.validation.y
        half = halves(len(y), seed, y if self.task == "classification" else None)
        return (
            half
            if half is not None and all(len(np.unique(y[half == h])) > 1 for h in (0, 1))
            else None
        )

    def batches(
        self,
        part: Part,
        size: int | None = None,
        *,
        dtype: torch.dtype | Literal["float32", "float64"] = "float32",
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield ``(x, y)`` of a part, ``size`` rows at a time (None: at most 4096, and 16 MiB), in
        order; as ``tensors`` gives them. Streamed rows are read meanwhile.

        Raises:
            DataError: for an item of a dataset that cannot be read or does not fit.
        """
        rows, size = getattr(self, part), size or self.rows_at_once
        if isinstance(rows, Rows):
            held = self.tensors(part, dtype)
            for start in range(0, len(rows), size):
                yield _some(held, slice(start, start + size))
        else:
            for x, y in rows.batches(size):
                yield self.typed(x, y, dtype)

    def head(
        self, part: Part, size: int, dtype: torch.dtype | Literal["float32", "float64"] = "float32"
    ) -> tuple[Tree, Tree]:
        """Return ``(x, y)`` of the first ``size`` rows of a part, or of all where there are fewer,
        to try a model on.

        Raises:
            DataError: for an item of a dataset that cannot be read or does not fit.
        """
        rows: Rows | StreamedRows = getattr(self, part)
        if isinstance(rows, Rows):
            return _some(self.tensors(part, dtype), slice(size))
        key, size = (part, "head"), min(size, len(rows))
        if key not in self._tensors or len(leaves(self._tensors[key])[0]) < size:
            self._tensors[key] = rows.read(slice(size))  # kept: every fleet asks for them
        return self.typed(*_some(self._tensors[key], slice(size)), dtype)

    def typed(
        self, x: Tree, y: Tree, dtype: torch.dtype | Literal["float32", "float64"]
    ) -> tuple[Tree, Tree]:
        """Return a streamed batch in the type that is trained in: floats, and unsigned numbers, as
        ``dtype``; other whole numbers and booleans keep their type.
        """
        real = _real(dtype)

        def as_trained(tensor: torch.Tensor) -> torch.Tensor:
            is_kept = not (tensor.is_floating_point() or str(tensor.dtype).startswith("torch.uint"))
            return tensor if is_kept else tensor.to(real)

        typed: tuple[Tree, Tree] = map_tree(as_trained, (x, y))
        return typed

    def tensors(
        self, part: Part, dtype: torch.dtype | Literal["float32", "float64"] = "float32"
    ) -> tuple[Tree, Tree]:
        """Return ``(X, y)`` of a part as tensors on the CPU: X (N, *in_shape) of ``dtype``, whole
        numbers and booleans of several inputs of their own; y (N,) int64, or ``dtype`` for a
        regression.

        The same tensors are handed out at every call: do not write into them.

        Raises:
            DataError: the rows are streamed.
        """
        import torch  # here: data is also read where nothing is trained

        rows: Rows | StreamedRows = getattr(self, part)
        if not isinstance(rows, Rows):
            raise DataError(
                f"the {part} rows of {self.source} are not held in memory: read them with "
                f"batches() or head()"
            )
        real = _real(dtype)
        if (part, real) not in self._tensors:
            x, y = map_tree(torch.tensor, (rows.X[:], rows.y))
            self._tensors[part, real] = self.typed(x, y, real)
        found: tuple[Tree, Tree] = self._tensors[part, real]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tensors": {}}  # a copy for another process makes its own


def _some(tree: Tree, rows: slice) -> tuple[Tree, Tree]:
    found: tuple[Tree, Tree] = map_tree(lambda tensor: tensor[rows], tree)
    return found


def _real(dtype: torch.dtype | Literal["float32", "float64"]) -> torch.dtype:
    import torch

    real: torch.dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    return real


def prepare(data: Data, *, table: Table | None = None, fold: int | None = None) -> PreparedData:
    """Load, split and prepare what ``data`` names; a function of the content, the settings and the
    split's seed.

    Args:
        table: what ``load_table(data)`` gave, when it was loaded before.
        fold: which fold is held out; the recipe has no folds yet, so only None.

    Raises:
        DataError: nothing there, values that cannot be used, a split that leaves a part without
            some class.
    """
    if fold is not None:
        raise DataError(
            f"data.split divides the rows once, there are no folds: expected fold=None, got {fold}"
        )
    if table is None:
        source = read_source(data.source, Style.of(data))
        if isinstance(source, DatasetSource):
            from winnow.data._datasets import open_datasets  # here: it needs PyTorch

            found = open_datasets(source, data)
            streamed = PreparedData(
                found.train,
                found.validation,
                found.test,
                found.preparation,
                source.label,
                found.digest,
                notes=found.notes,
            )
            return _told_of_halves(streamed, data)
        table = load_table(data, source)
    parts = split_rows(table.y, data.split, table.task, table.order)
    preparation, notes = fit(table, data, parts.train)
    train, validation, test = (
        Rows(
            _held(preparation.transform(table.X[rows])),
            preparation.target.encode(table.y[rows]),
            table.rows[rows],
        )
        for rows in parts
    )
    notes = (*table.notes, *notes, *warnings(table, parts, data))
    if table.weights is not None:
        train = replace(train, weights=_mean_of_one(table.weights[parts.train], data))
        what = "scores, and what the model is compared with, count all rows alike"
        notes = (*notes, f"training rows count by column {data.weights!r}; {what}")
    prepared = PreparedData(
        train, validation, test, preparation, table.source_label, table.digest, notes
    )
    return _told_of_halves(prepared, data)


def _mean_of_one(weights: np.ndarray, data: Data) -> np.ndarray:
    """Return weights of the training rows as float32, divided by their mean."""
    if not weights.any():
        raise DataError(f"data.weights: all training rows have the weight 0 in {data.weights!r}")
    return (weights / weights.mean()).astype(np.float32)


def _held(X: Tree) -> np.ndarray | InputArrays:
    return X if isinstance(X, np.ndarray) else InputArrays(X)


# What a file gave last, and the settings and the digest it is for
_last: tuple[tuple[str, str], PreparedData] | None = None


def prepare_once(data: Data, *, table: Table | None = None) -> PreparedData:
    """Return what ``prepare`` gives; of a file, what it gave last, where neither the settings nor
    the bytes of the file have changed.

    A file gets a recipe, is checked and trained on with one preparation, which takes seconds where
    there are thousands of columns. The arrays are shared, so they cannot be written to.

    Raises:
        DataError: as ``prepare`` does.
    """
    global _last
    if not is_file(data.source):
        return prepare(data, table=table)
    digest = table.digest if table is not None else file_digest(data.source)
    key, known = (data.model_dump_json(), digest), _last
    if known is not None and known[0] == key:
        return known[1]
    prepared = prepare(data, table=table)
    for rows in (prepared.train, prepared.validation, prepared.test):
        for array in (rows.X, rows.y, rows.index) if isinstance(rows, Rows) else ():
            if isinstance(array, np.ndarray):
                array.flags.writeable = False
    _last = (data.model_dump_json(), prepared.digest), prepared
    return prepared


def _told_of_halves(prepared: PreparedData, data: Data) -> PreparedData:
    """Return the same, with a note where the validation rows are not halved."""
    if prepared.halves(data.split.seed) is not None:
        return prepared
    rows = len(prepared.validation)
    why = (
        f"expected at least {FEWEST_TO_HALVE}"
        if rows < FEWEST_TO_HALVE
        else "a half of them has one value of the target only"
    )
    note = (
        f"the {rows} validation rows are not halved to choose each other's epoch ({why}): the "
        f"validation score is that of the "
        "best epoch on the rows that chose it, which is optimistic; raise data.split.validation"
    )
    return replace(prepared, notes=(*prepared.notes, note))


def describe(data: PreparedData | Table) -> DataRecord:
    """Return the facts about the data that a report shows."""
    if isinstance(data, Table):
        return DataRecord(
            source=data.source_label,
            target=data.target,
            task=data.task,
            rows={"all": len(data)},
            columns=tuple({"name": name} for name in data.names),
            notes=tuple(data.notes),
            digest=data.digest,
        )
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return DataRecord(
        source=data.source,
        target=data.preparation.target.name,
        task=data.task,
        classes=None if data.classes is None else tuple(data.classes),
        rows={name: len(rows) for name, rows in parts.items()},
        columns=tuple(
            {**column.schema(), **_fitted(column)} for column in data.preparation.columns
        ),
        features=data.preparation.width,
        in_shape=data.in_shape if data.preparation.layout == "one" else None,
        notes=tuple(data.notes),
        digest=data.digest,
    )


def _fitted(column: Column | Block) -> dict[str, Any]:
    """Return what was learned of a number: what it is centered on and divided by, or how many knots
    its curve has, and what stands in for a gap.
    """
    if isinstance(column, Block):
        knots = [0 if curve is None else len(curve.x) for curve in column.curves]
        if not column.input.is_float:
            return {}
        shown = {"mean": list(column.mean), "scale": list(column.scale)}
        return shown | ({"knots": knots} if knots else {})
    if column.kind != "number":
        return {}
    gap = {"fill": column.fill} if column.gaps else {}
    if column.curve is not None:
        return {"knots": len(column.curve.x), **gap}
    return {"mean": column.mean, "scale": column.scale, **gap}
