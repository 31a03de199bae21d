"""8-bit integers instead of 32-bit floats, by ONNX Runtime, and a count of what really became
integers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from winnow.bundle import quiet
from winnow.errors import ModelError, first_line

__all__ = ["Features", "QuantizedModel", "quantize"]

_MAX_CALIBRATION_ROWS = 1024
_STRIDE = 64  # calibration rows in memory at once


class Features(Protocol):
    """Prepared rows (n, *shape): an array, or something that reads what it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, which: Any, /) -> Any:
        """The rows of a slice, or at positions (m,), as an array."""


@dataclass(frozen=True)
class QuantizedModel:
    """An int8 model.

    Attributes:
        onnx: the model.
        how: ``static``: ranges of the activations fixed from calibration rows; ``dynamic``: found
            anew at each call.
        share: share of the weights (matrices and kernels) that are 8-bit integers now, in (0, 1].
        left: operators whose weights stayed floats.
    """

    onnx: bytes
    how: Literal["static", "dynamic"]
    share: float
    left: tuple[str, ...]


def quantize(
    onnx: bytes, rows: Features, *, how: Literal["static", "dynamic"] = "static"
) -> QuantizedModel:
    """Quantize a float32 ONNX model after training: unsigned 8-bit activations, signed 8-bit
    weights with a scale per channel.

    ``static`` writes QuantizeLinear and DequantizeLinear nodes around every operator that can do
    without floats; it suits networks of convolutions and linear layers. ``dynamic`` only covers
    matrix products, convolutions and LSTMs; it suits recurrent and attention networks.

    Weights take 7 of the 8 bits. Processors without VNNI add products of two 8-bit numbers in 16
    bits, which overflows, and the same file would give other answers there; 7 bits give the same
    ones everywhere.

    Args:
        onnx: the model, input ``x``.
        rows: (n, *shape) training rows that fix the ranges of the activations (static); at most
            1024, evenly spaced, are used.
        how: see above.

    Raises:
        ModelError: the quantizer fails, or it left every weight as it was.

    Source: ONNX Runtime ``quantize_static`` (QDQ format, min-max calibration) and
    ``quantize_dynamic``.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="winnow-") as folder, quiet():
            content = _run(onnx, rows, how, Path(folder))
    except Exception as error:  # the quantizer raises whatever its insides raise
        raise ModelError(
            f"ONNX Runtime's {how} quantizer cannot handle this model: {first_line(error)}"
        ) from error
    model = _parse(content)
    share, left = _count(model)
    if share == 0:
        raise ModelError(
            f"ONNX Runtime's {how} quantizer changed nothing: no weight became an integer"
        )
    _slim(model)
    return QuantizedModel(onnx=model.SerializeToString(), how=how, share=share, left=left)


def _run(onnx: bytes, rows: Features, how: str, folder: Path) -> bytes:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        """Hands the calibration rows over piece by piece."""

        def __init__(self) -> None:
            self.pieces = _pieces(rows)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.pieces, None)

    given, prepared, done = folder / "given.onnx", folder / "prepared.onnx", folder / "done.onnx"
    given.write_bytes(onnx)
    # shapes by ONNX itself: the symbolic inference found nothing more on seven architectures, gives
    # up on unknown operators, and then leaves a file in the current directory
    quant_pre_process(given, prepared, skip_symbolic_shape=True)
    if how == "dynamic":
        quantize_dynamic(
            prepared, done, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8
        )
    else:
        quantize_static(
            prepared,
            done,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return done.read_bytes()


def _pieces(rows: Features) -> Iterator[dict[str, np.ndarray]]:
    """Evenly spaced calibration rows, a few at a time."""
    if not len(rows):
        raise ValueError("no calibration rows")
    chosen = (
        np.linspace(0, len(rows) - 1, min(len(rows), _MAX_CALIBRATION_ROWS)).round().astype(int)
    )
    for start in range(0, len(chosen), _STRIDE):
        yield {"x": np.ascontiguousarray(rows[chosen[start : start + _STRIDE]], dtype=np.float32)}


def _parse(content: bytes) -> Any:
    import onnx

    return onnx.load_model_from_string(content)


def _count(model: Any) -> tuple[float, tuple[str, ...]]:
    """Share of the weights' elements that are 8-bit integers, and the operators that still read
    float weights.
    """
    from onnx import TensorProto

    # weights are matrices and kernels; biases, scales and norms are vectors, an LSTM's bias is one
    # of shape (1, 8 * hidden)
    weights = {t.name: t for t in model.graph.initializer if len(t.dims) >= 2}
    integers = {
        n for n, t in weights.items() if t.data_type in (TensorProto.INT8, TensorProto.UINT8)
    }
    floats = {
        n
        for n, t in weights.items()
        if t.data_type == TensorProto.FLOAT and sum(d > 1 for d in t.dims) >= 2
    }
    size = {n: int(np.prod(t.dims)) for n, t in weights.items()}
    whole = sum(size[n] for n in integers | floats)
    left = dict.fromkeys(
        node.op_type for node in model.graph.node if floats.intersection(node.input)
    )
    return (sum(size[n] for n in integers) / whole if whole else 0.0), tuple(left)


def _slim(model: Any) -> None:
    """Leave out what only tools read: notes, inferred shapes, operator sets that no node uses."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    for item in (model, model.graph, *model.graph.node):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.graph.ClearField("value_info")
