"""The same model smaller and faster, measured, as long as it stays as good."""

from winnow.compression._compress import Trained, compress, compress_module
from winnow.compression._compressed import Candidate, Compressed
from winnow.compression._difference import Difference
from winnow.compression._judge import Judge
from winnow.compression._latency import Latency, Timing, measure_latency, speedup
from winnow.compression._quantize import Quantized, quantize
from winnow.compression._records import (
    CandidateRecord,
    CompressionRecord,
    Gain,
    LatencyRecord,
    ParityRecord,
    ShippedRecord,
)
from winnow.compression._shipped import Shipped, measure_shipped

__all__ = [
    "Candidate",
    "CandidateRecord",
    "Compressed",
    "CompressionRecord",
    "Difference",
    "Gain",
    "Judge",
    "Latency",
    "LatencyRecord",
    "ParityRecord",
    "Quantized",
    "Shipped",
    "ShippedRecord",
    "Timing",
    "Trained",
    "compress",
    "compress_module",
    "measure_latency",
    "measure_shipped",
    "quantize",
    "speedup",
]
