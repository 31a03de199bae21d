"""The documents about the file that ships, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from winnow.records import Document, Record
from winnow.stats import Interval

__all__ = [
    "CandidateRecord",
    "CompressionRecord",
    "DeclinedRecord",
    "Gain",
    "LatencyRecord",
    "LossRecord",
    "ParityRecord",
    "ShippedRecord",
    "SpeedRecord",
]

# Whether a compressed model brings what the recipe prefers
Gain = Literal[
    "smaller", "not smaller", "too little smaller", "faster", "slower", "not shown faster"
]


@dataclass(frozen=True)
class LossRecord(Record):
    """What a candidate loses by one metric; see ``CompressionLoss``."""

    metric: str = ""
    drop: Interval | None = None
    allowed: float | None = None
    verdict: Literal["within", "over", "undecided"] | None = None
    rows_needed: int | None = None


@dataclass(frozen=True)
class ParityRecord(Record):
    """How far a file is from PyTorch on some rows; see ``Difference``."""

    against: str = "PyTorch, float32"
    on: str | None = None
    rows: int | None = None
    max_output_difference: float | None = None
    share_of_changed_classes: float | None = None
    max_probability_difference: float | None = None
    max_prediction_difference: float | None = None


@dataclass(frozen=True)
class LatencyRecord(Record):
    """Milliseconds per call."""

    median_ms: float | None = None
    p95_ms: float | None = None
    samples: int | None = None


@dataclass(frozen=True)
class SpeedRecord(Record):
    """How many times as fast; above 1 is faster."""

    versus_eager: Interval | None = None
    versus_onnx: Interval | None = None


@dataclass(frozen=True)
class CandidateRecord(Record):
    """One form of the trained model, measured; see ``Candidate``. ``latency`` and ``speedup`` are
    by batch size, ``versus_...`` at the smallest.
    """

    name: str
    words: str = ""
    bytes: int | None = None
    score: float | None = None
    score_drop: Interval | None = None
    losses: tuple[LossRecord, ...] = ()
    parity: ParityRecord | None = None
    latency: Mapping[str, LatencyRecord] = field(default_factory=dict)
    versus_eager: float | None = None
    versus_onnx: float | None = None
    speedup: Mapping[str, SpeedRecord] = field(default_factory=dict)
    accepted: bool = False
    reason: str = ""
    gain: Gain | None = None

    @property
    def is_compressed(self) -> bool:
        """Whether it is another model than the trained one in PyTorch or in ONNX Runtime."""
        return self.name not in ("eager", "onnx")


@dataclass(frozen=True)
class DeclinedRecord(Record):
    """A compressor that made no candidate; see ``winnow.methods.NotCompressed``."""

    name: str = ""
    code: str = ""
    text: str = ""


@dataclass(frozen=True)
class CompressionRecord(Document):
    """What compression found; see ``CompressionResult``.

    Attributes:
        verdict_notes: those of ``notes`` that spell out what the candidates' verdicts are; none in
            older ledgers.
        export_parity: see ``bundle.Parity``.
    """

    NAME: ClassVar[str] = "compression"

    metric: str = ""
    budget: float | None = None
    prefer: str | None = None
    allowed_drop: float | None = None
    higher_is_better: bool | None = None
    candidates: tuple[CandidateRecord, ...] = ()
    declined: tuple[DeclinedRecord, ...] = ()
    chosen: str | None = None
    notes: tuple[str, ...] = ()
    verdict_notes: tuple[str, ...] = ()
    rows: int | None = None
    threads: int | None = None
    export_parity: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ShippedRecord(Document):
    """The file that ships, on the test rows; see ``ShippedFile``."""

    NAME: ClassVar[str] = "shipped"

    kind: str | None = None
    sha256: str | None = None
    rows: int | None = None
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    parity: ParityRecord = field(default_factory=ParityRecord)
    notes: tuple[str, ...] = ()
