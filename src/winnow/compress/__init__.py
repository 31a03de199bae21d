"""The same model smaller and faster, measured, as long as it stays as good."""

from winnow.compress._compress import Trained, compress, compress_module
from winnow.compress._compressed import Candidate, Compressed
from winnow.compress._difference import Difference
from winnow.compress._judge import Judge
from winnow.compress._latency import Latency, Timing, measure_latency, speedup
from winnow.compress._quantize import Quantized, quantize
from winnow.compress._shipped import Shipped, measure_shipped

__all__ = [
    "Candidate",
    "Compressed",
    "Difference",
    "Judge",
    "Latency",
    "Quantized",
    "Shipped",
    "Timing",
    "Trained",
    "compress",
    "compress_module",
    "measure_latency",
    "measure_shipped",
    "quantize",
    "speedup",
]
