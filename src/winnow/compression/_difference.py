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
        return ParityRecord(
            on=self.on,
            rows=self.rows,
            max_output_difference=self.max_output,
            share_of_changed_classes=self.changed_classes,
            max_probability_difference=self.max_probability,
            max_prediction_difference=self.max_prediction,
        )

    def to_dict(self) -> dict[str, Any]:
        """``record`` as plain data."""
        return self.record.to_dict()


def difference(
    reference: NDArray[Any],
    outputs: NDArray[Any],
    preparation: Preparation,
    *,
    on: Literal["validation", "test"],
) -> Difference:
    """``Difference`` of raw outputs, both of shape (rows, classes) or (rows, 1)."""
    furthest = float(np.abs(outputs.astype(np.float64) - reference).max())
    if preparation.target.task == "classification":
        changed = float((outputs.argmax(axis=1) != reference.argmax(axis=1)).mean())
        probability = float(np.abs(softmax(outputs) - softmax(reference)).max())
        return Difference(
            len(outputs), on, furthest, changed_classes=changed, max_probability=probability
        )
    decode = preparation.decode
    numbers = np.abs(
        np.asarray(decode(outputs.astype(np.float64)))
        - np.asarray(decode(reference.astype(np.float64)))
    )
    return Difference(len(outputs), on, furthest, max_prediction=float(numbers.max()))
