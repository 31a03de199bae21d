"""The trained model on the validation rows: what every candidate is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from winnow.bundle import open_session, run_onnx
from winnow.compression._compressed import CompressionLoss
from winnow.compression._difference import Difference, difference
from winnow.compression._latency import Call
from winnow.compression._score_loss import Judge
from winnow.data import Preparation
from winnow.errors import ModelError
from winnow.methods import Features
from winnow.trees import call, main, map_tree

__all__ = ["CompressionTrial", "Criterion", "eager_call", "onnx_call"]

_CHUNK_ROWS = 1024
_CHUNK_VALUES = 2**24  # of the features in memory at once


def eager_call(module: nn.Module) -> Call:
    """Return PyTorch as a contestant, which is called in inference mode."""
    return lambda batch: main(call(module, map_tree(torch.from_numpy, batch))).numpy()


def onnx_call(onnx: bytes, threads: int) -> Call:
    """Return ONNX Runtime as a contestant."""
    session = open_session(onnx, threads=threads)
    return lambda batch: run_onnx(session, batch)


@dataclass(frozen=True)
class Criterion:
    """What must not get much worse.

    Attributes:
        judge: of one metric.
        budget: the largest loss that is accepted; a share for rmse and mae.
    """

    judge: Judge
    budget: float


class CompressionTrial:
    """The answers of the trained model, and how candidates are held against them.

    Args:
        eager: the model as trained.
        rows: the validation rows.
        criteria: the score first.
        preparation: what outputs mean.

    Attributes:
        reference_outputs: raw outputs of the trained model, (rows, classes) or (rows, 1).
        score: of the trained model.
        allowed: the largest drop of the score that is accepted, in the metric's unit.

    Raises:
        ModelError: the trained model's outputs are not finite, or its score is not defined.
    """

    def __init__(
        self, eager: Call, rows: Features, criteria: Sequence[Criterion], preparation: Preparation
    ) -> None:
        self.rows = rows
        self._criteria = tuple(criteria)
        self._judge = self._criteria[0].judge
        self._preparation = preparation
        self.reference_outputs = self.outputs(eager)
        self._reference = self._judge.predictions(self.reference_outputs)
        if not np.isfinite(self._reference).all():
            raise ModelError(
                "the trained model gives outputs that are not finite on the validation rows"
            )
        self.score = self._judge.score(self._reference)
        self.allowed = self._judge.allowed(self._criteria[0].budget, self.score)

    def outputs(self, contestant: Call) -> NDArray[Any]:
        """Return raw outputs for the validation rows, (rows, classes) or (rows, 1)."""
        values_of_a_row = math.prod(self.rows.shape[1:])
        size = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // max(1, values_of_a_row)))
        pieces = (self.rows[start : start + size] for start in range(0, len(self.rows), size))
        found = np.concatenate([contestant(map_tree(np.array, piece)) for piece in pieces])
        return found.reshape(len(found), -1)

    def parity(self, outputs: NDArray[Any]) -> Difference:
        """Return how far raw outputs are from those of the trained model."""
        return difference(self.reference_outputs, outputs, self._preparation, on="validation")

    def score_of(self, outputs: NDArray[Any]) -> float:
        """Return the score of raw outputs."""
        return self._judge.score(self._judge.predictions(outputs))

    def losses(self, outputs: NDArray[Any]) -> tuple[CompressionLoss, ...]:
        """Return what is lost by each criterion, that of the score first."""
        predictions = self._judge.predictions(outputs)
        return tuple(self._loss(criterion, predictions) for criterion in self._criteria)

    def _loss(self, criterion: Criterion, predictions: NDArray[Any]) -> CompressionLoss:
        judge = criterion.judge
        is_score = judge is self._judge
        allowed = self.allowed if is_score else criterion.budget
        drop = judge.drop(self._reference, predictions)
        loss = CompressionLoss(judge.metric, drop, allowed)
        if loss.verdict != "undecided":
            return loss
        return replace(loss, rows_needed=judge.rows_needed(self._reference, predictions, allowed))
