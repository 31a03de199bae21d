"""How far a model file is from the PyTorch model that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from winnow.compression._records import ParityRecord
from winnow.data import Preparation, softmax

__all__ = ["Difference", "difference"]


@dataclass(frozen=True)
class Difference:
    """How far a model file is from the PyTorch model that it came from, on the same rows.

    Attributes:
        rows: how many were compared.
        on: which part they are of.
        max_output: largest absolute difference of raw outputs: logits, or the standardized target.
        changed_classes: share of the rows whose predicted class differs; None for regression.
        max_probability: largest absolute difference of a class's probability; None for regression.
        max_prediction: largest absolute difference of a prediction, in the target's unit; None for
            classification.
    """

    rows: int
    on: Literal["validation", "test"]
    max_output: float
    changed_classes: float | None = None
    max_probability: float | None = None
    max_prediction: float | None = None

    @property
    def record(self) -> ParityRecord:
        """The same as documents hold it."""
        return ParityRecord(
            on=self.on,
            rows=self.rows,
            max_output_difference=self.max_output,
            share_of_changed_classes=self.changed_classes,
            max_probability_difference=self.max_probability,
            max_prediction_difference=self.max_prediction,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return ``record`` as plain data."""
        return self.record.to_dict()


def difference(
    reference: NDArray[Any],
    outputs: NDArray[Any],
    preparation: Preparation,
    *,
    on: Literal["validation", "test"],
) -> Difference:
    """Return how far raw outputs are from others of the same rows.

    Args:
        reference: of the PyTorch model, (rows, classes) or (rows, 1).
        outputs: of the file, the same shape.
        preparation: says what outputs mean.
        on: which part the rows are of.
    """
    furthest = float(np.abs(outputs.astype(np.float64) - reference).max())
    if preparation.target.task == "classification":
        changed = float((outputs.argmax(axis=1) != reference.argmax(axis=1)).mean())
        probability = float(np.abs(softmax(outputs) - softmax(reference)).max())
        return Difference(
            len(outputs), on, furthest, changed_classes=changed, max_probability=probability
        )
    found, expected = (
        np.asarray(preparation.decode(raw.astype(np.float64))) for raw in (outputs, reference)
    )
    furthest_number = float(np.abs(found - expected).max())
    return Difference(len(outputs), on, furthest, max_prediction=furthest_number)
