"""Candidates held against the trained model on the validation rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from winnow.bundle import open_session
from winnow.compress._compressed import Candidate
from winnow.compress._judge import Judge
from winnow.compress._latency import Call, Latency, Timing, measure_latency, speedup
from winnow.compress._quantise import Features, Quantised, quantise
from winnow.errors import ModelError
from winnow.stats import Interval

__all__ = ["NOT_TRIED", "Trial", "eager_call", "measure", "onnx_call", "try_int8"]

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


class Trial:
    """The reference, and how candidates are held against it on the validation rows."""

    def __init__(self, judge: Judge, budget: float, rows: Features, timing: Timing, eager: Call, onnx: Call) -> None:
        self.judge, self.rows, self.timing = judge, rows, timing
        self.calls: dict[str, Call] = {"eager": eager, "onnx": onnx}
        self.reference = self.predictions(eager)
        if not np.isfinite(self.reference).all():
            raise ModelError("the trained model gives outputs that are not finite on the validation rows")
        self.score = judge.score(self.reference)
        self.allowed = judge.allowed(budget, self.score)

    def predictions(self, call: Call) -> np.ndarray:
        """Probabilities (rows, classes) or numbers (rows,) for the validation rows."""
        size = max(1, min(_CHUNK_ROWS, _CHUNK_VALUES // math.prod(self.rows.shape[1:])))
        pieces = (self.rows[i : i + size] for i in range(0, len(self.rows), size))
        return self.judge.predictions(np.concatenate([call(np.array(piece, dtype=np.float32)) for piece in pieces]))

    def keeps(self, drop: Interval) -> bool:
        """Whether the mean drop is within the budget."""
        return drop.mean <= self.allowed + 1e-12

    def verdict(self, drop: Interval) -> str:
        """What a drop means for the budget, in words."""
        side = "within" if self.keeps(drop) else "over"
        return f"loss of {self.judge.metric} {drop} on {len(self.rows)} validation rows, {side} the budget of {self.allowed:.4g}"


@dataclass(frozen=True)
class _Int8:
    """A quantised model that runs, with its predictions."""

    model: Quantised
    call: Call
    score: float
    drop: Interval


@dataclass(frozen=True)
class Tried:
    """What quantising gave, by candidate name, and what is to be said about it."""

    models: dict[str, _Int8]
    notes: tuple[str, ...] = ()


NOT_TRIED = Tried({}, ("int8 was not tried: the recipe's compress.int8 is off",))


def try_int8(trial: Trial, onnx: bytes, rows: Features) -> Tried:
    """Static int8 calibrated on the training rows ``rows``; dynamic int8 where that is not enough."""
    models: dict[str, _Int8] = {}
    notes: list[str] = []
    for name, how in (("int8", "static"), ("int8 dynamic", "dynamic")):
        try:
            found = _quantised(trial, quantise(onnx, rows, how=how))  # type: ignore[arg-type]
        except ModelError as error:
            notes.append(f"no {name}: {error}")
            continue
        models[name] = found
        if found.model.left:
            notes.append(
                f"{name}: {found.model.share:.0%} of the weights are integers; floats remain in {', '.join(found.model.left)}"
            )
        if trial.keeps(found.drop) and found.model.share >= _ENOUGH and len(found.model.onnx) < len(onnx):
            break
    return Tried(models, tuple(notes))


def _quantised(trial: Trial, model: Quantised) -> _Int8:
    try:
        call = onnx_call(model.onnx, trial.timing.threads)
        predictions = trial.predictions(call)
    except Exception as error:  # ONNX Runtime's own exception types are many
        raise ModelError(f"ONNX Runtime cannot run what its {model.how} quantiser wrote: {error}") from error
    if not np.isfinite(predictions).all():
        raise ModelError("its outputs are not finite")
    return _Int8(model, call, trial.judge.score(predictions), trial.judge.drop(trial.reference, predictions))


def measure(trial: Trial, onnx: bytes, weight_bytes: int, int8: Mapping[str, _Int8]) -> list[Candidate]:
    """Every candidate with its latency; all take turns in one measurement."""
    calls = {**trial.calls, **{name: found.call for name, found in int8.items()}}
    some = trial.rows[: max(trial.timing.batch_sizes)]
    latency = measure_latency(calls, some, timing=trial.timing)

    def speed(name: str, reference: str) -> dict[int, Interval]:
        found: dict[int, Latency] = latency[name]
        return {size: speedup(latency[reference][size], found[size]) for size in found}

    def candidate(name: str, **facts: Any) -> Candidate:
        return Candidate(
            name=name, latency=latency[name], versus_eager=speed(name, "eager"), versus_onnx=speed(name, "onnx"), **facts
        )

    exported = trial.judge.score(trial.predictions(trial.calls["onnx"]))
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
            score=exported,
            score_drop=None,
            accepted=True,
            reason="computes what PyTorch computes, but for rounding",
            onnx=onnx,
        ),
    ]
    return first + [
        candidate(
            name,
            bytes=len(found.model.onnx),
            score=found.score,
            score_drop=found.drop,
            accepted=trial.keeps(found.drop),
            reason=trial.verdict(found.drop),
            onnx=found.model.onnx,
        )
        for name, found in int8.items()
    ]
