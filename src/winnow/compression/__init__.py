"""The same model smaller and faster, measured, as long as it stays as good."""

from winnow.compression._compress import TrainedModel, compress, compress_module, compressors_of
from winnow.compression._compressed import Candidate, CompressionResult
from winnow.compression._difference import Difference
from winnow.compression._latency import Latency, LatencyTiming, measure_latency, speedup
from winnow.compression._records import (
    CandidateRecord,
    CompressionRecord,
    DeclinedRecord,
    Gain,
    LatencyRecord,
    ParityRecord,
    ShippedRecord,
)
from winnow.compression._score_loss import Judge
from winnow.compression._shipped import ShippedFile, measure_shipped

__all__ = [
    "Candidate",
    "CandidateRecord",
    "CompressionRecord",
    "CompressionResult",
    "DeclinedRecord",
    "Difference",
    "Gain",
    "Judge",
    "Latency",
    "LatencyRecord",
    "LatencyTiming",
    "ParityRecord",
    "ShippedFile",
    "ShippedRecord",
    "TrainedModel",
    "compress",
    "compress_module",
    "compressors_of",
    "measure_latency",
    "measure_shipped",
    "speedup",
]
