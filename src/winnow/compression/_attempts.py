"""What the compressors of a recipe make of the trained model, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from winnow.bundle import check_self_contained, quiet
from winnow.compression._compressed import CompressionLoss
from winnow.compression._difference import Difference
from winnow.compression._latency import Call
from winnow.compression._records import DeclinedRecord
from winnow.compression._trial import CompressionTrial, onnx_call
from winnow.errors import first_line
from winnow.methods import BaseCompressor, Compressed, ExportedModel, NotCompressed

__all__ = ["Attempt", "Attempts", "try_all"]

_ENOUGH = 0.5  # share of the weights that a compressor must change to be the last of its turn


@dataclass(frozen=True)
class Attempt:
    """A compressed model that runs.

    Attributes:
        compressor: what made it.
        model: its file, and what was done.
        call: runs it.
        score: on the validation rows.
        losses: by each criterion, that of the score first.
        parity: how far it is from the trained model.
    """

    compressor: BaseCompressor
    model: Compressed
    call: Call
    score: float
    losses: tuple[CompressionLoss, ...]
    parity: Difference

    def is_enough(self, float32_bytes: int) -> bool:
        """Return whether the next compressor of the same turn need not be tried."""
        keeps_budgets = all(loss.verdict == "within" for loss in self.losses)
        is_smaller = len(self.model.onnx) < float32_bytes
        return keeps_budgets and is_smaller and self.model.share >= _ENOUGH


@dataclass(frozen=True)
class Attempts:
    """What came of the compressors.

    Attributes:
        made: the models that run.
        declined: those that gave none, with the reason.
        notes: what is to be said of both.
    """

    made: tuple[Attempt, ...]
    declined: tuple[DeclinedRecord, ...]
    notes: tuple[str, ...]


def try_all(
    trial: CompressionTrial,
    model: ExportedModel,
    turns: Sequence[Sequence[BaseCompressor]],
    *,
    threads: int,
) -> Attempts:
    """Try every turn; within a turn, until one compressor is good enough.

    Args:
        trial: the trained model on the validation rows.
        model: what the compressors get.
        turns: of compressors; see ``BaseCompressor.in_turn``.
        threads: of each call.
    """
    if not turns:
        note = "nothing was tried: compress.methods of the recipe is empty"
        return Attempts((), (), (note,))
    made: list[Attempt] = []
    declined: list[DeclinedRecord] = []
    notes: list[str] = []
    for turn in turns:
        for compressor in turn:
            found = _attempt(trial, model, compressor, threads)
            if isinstance(found, NotCompressed):
                declined.append(DeclinedRecord(compressor.label, found.code, found.text))
                notes.append(f"no {compressor.label}: {found.text}")
                continue
            made.append(found)
            notes += [f"{compressor.label}: {note}" for note in found.model.notes]
            if found.is_enough(len(model.onnx)):
                break
    return Attempts(tuple(made), tuple(declined), tuple(notes))


def _attempt(
    trial: CompressionTrial, model: ExportedModel, compressor: BaseCompressor, threads: int
) -> Attempt | NotCompressed:
    made = _made(model, compressor)
    if isinstance(made, NotCompressed):
        return made
    try:
        check_self_contained(made.onnx)
        call = onnx_call(made.onnx, threads)
        outputs = trial.outputs(call)
    except Exception as error:  # ONNX Runtime's own exception types are many
        return NotCompressed("failed", f"its file cannot be used: {first_line(error)}")
    expected = trial.reference_outputs.shape
    if outputs.shape != expected:
        said = f"its outputs are of shape {outputs.shape}, and must be of shape {expected}"
        return NotCompressed("failed", said)
    if not np.isfinite(outputs).all():
        return NotCompressed("failed", "its outputs are not finite")
    return Attempt(
        compressor,
        made,
        call,
        score=trial.score_of(outputs),
        losses=trial.losses(outputs),
        parity=trial.parity(outputs),
    )


def _made(model: ExportedModel, compressor: BaseCompressor) -> Compressed | NotCompressed:
    """Return what a compressor gives; what it raises is a reason like any other."""
    name = type(compressor).__name__
    try:
        # A compressor may train the model, which inference mode would not let it
        with quiet(), torch.inference_mode(mode=False):
            made = compressor.compress(model)
    except Exception as error:  # a compressor of the user's may raise anything
        said = f"{name}.compress raises {type(error).__name__}: {first_line(error)}"
        return NotCompressed("failed", said)
    if not isinstance(made, Compressed | NotCompressed):
        said = (
            f"{name}.compress must give a Compressed or a NotCompressed, and gives a "
            f"{type(made).__name__}"
        )
        return NotCompressed("failed", said)
    return made
