"""The file that ships, measured: its own metrics on the test rows, and how far it is from the
PyTorch model that it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from winnow.bundle import MODEL, Bundle, inference_copy
from winnow.compression._difference import Difference, difference
from winnow.compression._records import ShippedRecord
from winnow.data import PreparedData, softmax
from winnow.errors import ModelError
from winnow.evaluation import measure
from winnow.recipe import metric_of
from winnow.stats import Interval, rows_interval
from winnow.trees import call, main, map_tree

__all__ = ["ShippedFile", "measure_shipped"]

FEW_ROWS = 50  # below so many test rows, the metrics come with a warning


@dataclass(frozen=True)
class ShippedFile:
    """The file that ships, on the test rows.

    Attributes:
        kind: ``fp32`` or ``int8``.
        sha256: of the model file that was run.
        rows: test rows.
        metrics: its own, by name, with the intervals over the rows (``stats.rows_interval`` of one
            training, as it is for the final seeds of several).
        difference: how far it is from the PyTorch model.
        truth: class indices, or values in the units of the target, (rows,).
        predictions: its own: probabilities (rows, classes), or values (rows,).
        notes: what the reader should know.
    """

    kind: str
    sha256: str
    rows: int
    metrics: Mapping[str, Interval]
    difference: Difference
    truth: NDArray[Any] = field(repr=False)
    predictions: NDArray[Any] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def record(self) -> ShippedRecord:
        """The ``shipped`` document."""
        return ShippedRecord(
            kind=self.kind,
            sha256=self.sha256,
            rows=self.rows,
            metrics=self.metrics,
            parity=self.difference.record,
            notes=self.notes,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()


def measure_shipped(
    bundle: Bundle, prepared: PreparedData, module: nn.Module, metric: str | None = None
) -> ShippedFile:
    """Run the bundle's own model file over the test rows, once, after everything has been chosen.

    Args:
        bundle: as it was read back from the disk.
        prepared: whose test rows; streamed ones are read in batches.
        module: the PyTorch model with the weights that the file was made from.
        metric: the recipe's, which is measured besides those that always are.

    Raises:
        DataError: an item of a dataset cannot be read or does not fit.
        ModelError: the file's outputs are not finite.
    """
    truth, outputs, reference = _run(bundle, prepared, module)
    num_lost = int((~np.isfinite(outputs)).any(axis=1).sum())
    if num_lost:
        raise ModelError(
            f"the model file gives outputs that are not finite for {num_lost} of {len(outputs)} "
            f"test rows"
        )
    predictions = softmax(outputs)
    if prepared.task == "regression":
        truth, predictions = _in_units(prepared, truth), _in_units(prepared, outputs)
    measured = measure(prepared.task, truth, predictions, metric=metric)
    metrics = {
        name: _over_rows(name, truth, predictions, value) for name, value in measured.items()
    }
    few = f"only {len(truth)} test rows: these figures are rough, and would be others on other rows"
    return ShippedFile(
        kind=bundle.manifest.deployed,
        sha256=bundle.manifest.files[MODEL].sha256 or "",
        rows=len(truth),
        metrics=metrics,
        difference=difference(reference, outputs, prepared.preparation, on="test"),
        truth=truth,
        predictions=predictions,
        notes=(few,) if len(truth) < FEW_ROWS else (),
    )


def _run(
    bundle: Bundle, prepared: PreparedData, module: nn.Module
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the targets of the test rows, the file's raw outputs and PyTorch's, in one pass."""
    eager = inference_copy(module)
    truths, ours, theirs = [], [], []
    for x, y in prepared.batches("test"):
        truths.append(main(y).numpy())
        ours.append(bundle.outputs(map_tree(lambda tensor: tensor.numpy(), x)))
        with torch.inference_mode():
            theirs.append(main(call(eager, x)).reshape(len(truths[-1]), -1).numpy())
    return np.concatenate(truths), np.concatenate(ours), np.concatenate(theirs)


def _in_units(prepared: PreparedData, values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as the model knows them, in the units of the target, (rows,)."""
    decoded = prepared.preparation.decode(values.astype(np.float64))
    return np.asarray(decoded).reshape(-1)


def _over_rows(
    metric: str, truth: NDArray[Any], predictions: NDArray[Any], value: float
) -> Interval:
    """Return the interval of one model's score, which counts rows and not trainings."""
    found = rows_interval(metric_of(metric), truth, [predictions], [value])
    return replace(found, n=len(truth), kind="rows")
