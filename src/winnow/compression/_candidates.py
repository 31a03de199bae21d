"""Every form of the model with its size, its score and its latency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import nn

from winnow.compression._attempts import Attempt
from winnow.compression._choice import Prefer, judged
from winnow.compression._compressed import Candidate
from winnow.compression._latency import Call, Latency, LatencyTiming, measure_latency, speedup
from winnow.compression._trial import CompressionTrial
from winnow.stats import Interval

__all__ = ["Float32", "candidates_of"]


@dataclass(frozen=True)
class Float32:
    """The model before compression.

    Attributes:
        module: in PyTorch, on the CPU and in evaluation mode.
        eager: the module as a contestant.
        weights: its state dict as arrays.
        onnx: the exported model.
        session: the exported model as a contestant.
    """

    module: nn.Module
    eager: Call
    weights: Mapping[str, NDArray[Any]]
    onnx: bytes
    session: Call

    @property
    def weight_bytes(self) -> int:
        """How much its weights take."""
        return sum(weight.nbytes for weight in self.weights.values())


@dataclass(frozen=True)
class _Timed:
    """Latencies of all contestants by name and batch size, from one measurement."""

    latency: Mapping[str, Mapping[int, Latency]]

    def versus(self, name: str, reference: str, confidence: float = 0.95) -> dict[int, Interval]:
        """Return how many times as fast one is as the other, by batch size."""
        return {
            size: speedup(self.latency[reference][size], own, confidence=confidence)
            for size, own in self.latency[name].items()
        }


def candidates_of(
    trial: CompressionTrial,
    float32: Float32,
    attempts: Sequence[Attempt],
    *,
    timing: LatencyTiming,
    prefer: Prefer,
    confidence: float,
) -> list[Candidate]:
    """Return every form of the model, measured; all take turns in one measurement.

    A compressed model is accepted when the upper ends of all its losses keep their budgets and it
    has what is preferred.

    Args:
        trial: the trained model on the validation rows.
        float32: the model before compression.
        attempts: the compressed models.
        timing: how much is measured.
        prefer: ``speed`` or ``size``.
        confidence: of the speed-ups of compressed models.
    """
    calls = {"eager": float32.eager, "onnx": float32.session}
    calls |= {attempt.compressor.label: attempt.call for attempt in attempts}
    some = trial.rows[: max(timing.batch_sizes)]
    timed = _Timed(measure_latency(calls, some, timing=timing))
    eager, onnx = _eager(trial, float32, timed), _onnx(trial, float32, timed)
    compressed = [_compressed(attempt, timed, confidence) for attempt in attempts]
    return [eager, onnx, *(judged(one, float32=onnx, prefer=prefer) for one in compressed)]


def _eager(trial: CompressionTrial, float32: Float32, timed: _Timed) -> Candidate:
    return Candidate(
        name="eager",
        bytes=float32.weight_bytes,
        score=trial.score,
        score_drop=None,
        latency=timed.latency["eager"],
        versus_eager=timed.versus("eager", "eager"),
        versus_onnx=timed.versus("eager", "onnx"),
        accepted=True,
        reason="as trained: what the others are held against; ships as ONNX",
    )


def _onnx(trial: CompressionTrial, float32: Float32, timed: _Timed) -> Candidate:
    outputs = trial.outputs(float32.session)
    return Candidate(
        name="onnx",
        bytes=len(float32.onnx),
        score=trial.score_of(outputs),
        score_drop=None,
        latency=timed.latency["onnx"],
        versus_eager=timed.versus("onnx", "eager"),
        versus_onnx=timed.versus("onnx", "onnx"),
        accepted=True,
        reason="computes what PyTorch computes, but for rounding",
        onnx=float32.onnx,
        parity=trial.parity(outputs),
    )


def _compressed(attempt: Attempt, timed: _Timed, confidence: float) -> Candidate:
    """Return a compressed model of which nothing is decided yet."""
    compressor, name = attempt.compressor, attempt.compressor.label
    return Candidate(
        name=name,
        bytes=len(attempt.model.onnx),
        score=attempt.score,
        score_drop=attempt.losses[0].drop,
        latency=timed.latency[name],
        versus_eager=timed.versus(name, "eager", confidence),
        versus_onnx=timed.versus(name, "onnx", confidence),
        accepted=False,
        reason="",
        onnx=attempt.model.onnx,
        losses=attempt.losses,
        parity=attempt.parity,
        compressor=compressor.kind or type(compressor).__name__,
        words=compressor.words,
    )
