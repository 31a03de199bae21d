"""Candidates held against the trained model on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from winnow.bundle import open_session
from winnow.compression._choice import Prefer, judged
from winnow.compression._compressed import Candidate, CompressionLoss
from winnow.compression._difference import Difference, difference
from winnow.compression._judge import Judge
from winnow.compression._latency import Call, Latency, LatencyTiming, measure_latency, speedup
from winnow.compression._quantize import Features, QuantizedModel, quantize
from winnow.data import Preparation
from winnow.errors import ModelError
from winnow.stats import Interval

__all__ = ["NOT_TRIED", "CompressionTrial", "eager_call", "measure", "onnx_call", "try_int8"]

_ENOUGH = 0.5  # share of the weights that must become integers before int8 is called done
_CHUNK_ROWS = 1024
_CHUNK_VALUES = 2**24  # of the features in memory at once


def eager_call(module: nn.Module) -> Call:
    """PyTorch as a contestant; call it in inference mode."""
    return lambda batch: module(torch.from_numpy(batch)).numpy()


def onnx_call(onnx: bytes, threads: int) -> Call:
    """ONNX Runtime as a contestant."""
    session = open_session(onnx, threads=threads)
    return lambda batch: session.run(None, {"x": batch})[0]


class CompressionTrial:
    """The reference, and how candidates are held against it on the validation rows.

    Args:
        judge: of the score, which has the budget.
        others: judges of what must not get much worse besides, with the largest loss of each, in
            its own unit.
        budget: the largest loss of the score; a share for rmse and mae.
        rows: the validation rows.
        timing: how much is measured.
        eager, onnx: the model as trained, and exported.
        preparation: what outputs mean.
    """

    def __init__(
        self,
        judge: Judge,
        budget: float,
        rows: Features,
        timing: LatencyTiming,
        eager: Call,
        onnx: Call,
        preparation: Preparation,
        others: Sequence[tuple[Judge, float]] = (),
    ) -> None:
        self.judge, self.rows, self.timing = judge, rows, timing
        self.calls: dict[str, Call] = {"eager": eager, "onnx": onnx}
        self.preparation = preparation
        self.reference_outputs = self.outputs(eager)
        self.reference = judge.predictions(self.reference_outputs)
        if not np.isfinite(self.reference).all():
            raise ModelError(
                "the trained model gives outputs that are not finite on the validation rows"
            )
        self.score = judge.score(self.reference)
        self.allowed = judge.allowed(budget, self.score)
        self.criteria = ((judge, self.allowed), *others)

    def outputs(self, call: Call) -> np.ndarray:
        """(rows, classes) or (rows, 1) raw outputs for the validation rows."""
        size = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // math.prod(self.rows.shape[1:])))
        pieces = (self.rows[i : i + size] for i in range(0, len(self.rows), size))
        found = np.concatenate([call(np.array(piece, dtype=np.float32)) for piece in pieces])
        return found.reshape(len(found), -1)

    def parity(self, outputs: np.ndarray) -> Difference:
        """How far raw outputs are from those of the model as trained."""
        return difference(self.reference_outputs, outputs, self.preparation, on="validation")

    def losses(self, predictions: np.ndarray) -> tuple[CompressionLoss, ...]:
        """What a candidate loses by each criterion, that of the score first."""
        return tuple(self._loss(judge, allowed, predictions) for judge, allowed in self.criteria)

    def _loss(self, judge: Judge, allowed: float, predictions: np.ndarray) -> CompressionLoss:
        drop = judge.drop(self.reference, predictions)
        loss = CompressionLoss(judge.metric, drop, allowed)
        if loss.verdict != "undecided":
            return loss
        return replace(loss, rows_needed=judge.rows_needed(self.reference, predictions, allowed))


@dataclass(frozen=True)
class _Int8:
    """A quantized model that runs, with its predictions."""

    model: QuantizedModel
    call: Call
    score: float
    losses: tuple[CompressionLoss, ...]
    parity: Difference

    @property
    def keeps_budget(self) -> bool:
        return all(loss.verdict == "within" for loss in self.losses)


@dataclass(frozen=True)
class TriedCandidate:
    """What quantizing gave, by candidate name, and what is to be said about it."""

    models: dict[str, _Int8]
    notes: tuple[str, ...] = ()


NOT_TRIED = TriedCandidate({}, ("int8 was not tried: the recipe's compress.int8 is off",))


def try_int8(trial: CompressionTrial, onnx: bytes, rows: Features) -> TriedCandidate:
    """Static int8 calibrated on the training rows ``rows``; dynamic int8 where that is not
    enough.
    """
    models: dict[str, _Int8] = {}
    notes: list[str] = []
    for name, how in (("int8", "static"), ("int8 dynamic", "dynamic")):
        try:
            found = _quantized(trial, quantize(onnx, rows, how=how))  # type: ignore[arg-type]
        except ModelError as error:
            notes.append(f"no {name}: {error}")
            continue
        models[name] = found
        if found.model.left:
            notes.append(
                f"{name}: {found.model.share:.0%} of the weights are integers; floats remain in "
                f"{', '.join(found.model.left)}"
            )
        if (
            found.keeps_budget
            and found.model.share >= _ENOUGH
            and len(found.model.onnx) < len(onnx)
        ):
            break
    return TriedCandidate(models, tuple(notes))


def _quantized(trial: CompressionTrial, model: QuantizedModel) -> _Int8:
    try:
        call = onnx_call(model.onnx, trial.timing.threads)
        outputs = trial.outputs(call)
    except Exception as error:  # ONNX Runtime's own exception types are many
        raise ModelError(
            f"ONNX Runtime cannot run what its {model.how} quantizer wrote: {error}"
        ) from error
    if not np.isfinite(outputs).all():
        raise ModelError("its outputs are not finite")
    predictions = trial.judge.predictions(outputs)
    return _Int8(
        model,
        call,
        trial.judge.score(predictions),
        trial.losses(predictions),
        trial.parity(outputs),
    )


def measure(
    trial: CompressionTrial,
    onnx: bytes,
    weight_bytes: int,
    int8: Mapping[str, _Int8],
    *,
    prefer: Prefer,
) -> list[Candidate]:
    """Every candidate with its latency; all take turns in one measurement.

    An int8 model is accepted when the upper ends of all its losses keep their budgets and it has
    what is preferred.
    """
    calls = {**trial.calls, **{name: found.call for name, found in int8.items()}}
    some = trial.rows[: max(trial.timing.batch_sizes)]
    latency = measure_latency(calls, some, timing=trial.timing)

    def speed(name: str, reference: str) -> dict[int, Interval]:
        found: dict[int, Latency] = latency[name]
        return {size: speedup(latency[reference][size], found[size]) for size in found}

    def candidate(name: str, **facts: Any) -> Candidate:
        return Candidate(
            name=name,
            latency=latency[name],
            versus_eager=speed(name, "eager"),
            versus_onnx=speed(name, "onnx"),
            **facts,
        )

    exported = trial.outputs(trial.calls["onnx"])
    first = [
        candidate(
            "eager",
            bytes=weight_bytes,
            score=trial.score,
            score_drop=None,
            accepted=True,
            reason="as trained: what the others are held against; ships as ONNX",
        ),
        candidate(
            "onnx",
            bytes=len(onnx),
            score=trial.judge.score(trial.judge.predictions(exported)),
            score_drop=None,
            accepted=True,
            reason="computes what PyTorch computes, but for rounding",
            onnx=onnx,
            parity=trial.parity(exported),
        ),
    ]
    return first + [
        judged(
            candidate(
                name,
                bytes=len(found.model.onnx),
                score=found.score,
                score_drop=found.losses[0].drop,
                losses=found.losses,
                parity=found.parity,
                accepted=False,
                reason="",
                onnx=found.model.onnx,
            ),
            float32=first[1],
            prefer=prefer,
        )
        for name, found in int8.items()
    ]
