"""The same model smaller and faster, measured, as long as it stays as good."""

from winnow.compress._compress import Trained, compress, compress_module
from winnow.compress._compressed import Candidate, Compressed
from winnow.compress._latency import Latency, Timing, measure_latency, speedup
from winnow.compress._quantise import Quantised, quantise

__all__ = [
    "Candidate",
    "Compressed",
    "Latency",
    "Quantised",
    "Timing",
    "Trained",
    "compress",
    "compress_module",
    "measure_latency",
    "quantise",
    "speedup",
]
