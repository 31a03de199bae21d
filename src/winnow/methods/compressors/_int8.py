"""8-bit integers instead of 32-bit floats, by ONNX Runtime, and a count of what really became
integers.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.errors import first_line
from winnow.methods.compressors._base import (
    BaseCompressor,
    Compressed,
    ExportedModel,
    NotCompressed,
)
from winnow.trees import by_name

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto

__all__ = ["Int8"]


class Int8(BaseCompressor):
    """Unsigned 8-bit activations and signed 8-bit weights with a scale for each channel.

    ``static`` writes QuantizeLinear and DequantizeLinear nodes around every operator that can do
    without floats; it suits networks of convolutions and linear layers. ``dynamic`` covers matrix
    products, convolutions and LSTMs alone; it suits recurrent and attention networks.

    Weights take 7 of the 8 bits. Processors without VNNI add products of two 8-bit numbers in 16
    bits, which overflows, and the same file would give other answers there; 7 bits give the same
    ones everywhere.
    """

    phrase: ClassVar[str] = "8-bit integers instead of 32-bit floats"

    kind: Literal["int8"] = "int8"
    how: Literal["auto", "static", "dynamic"] = "auto"
    """``static``: ranges of the activations are fixed from training rows; ``dynamic``: they are
    found anew at each call; ``auto``: static, and dynamic where that is not enough."""

    @property
    def label(self) -> str:
        return "int8 dynamic" if self.how == "dynamic" else "int8"

    def in_turn(self) -> tuple[BaseCompressor, ...]:
        """Return static and then dynamic quantization, unless one of them was asked for."""
        return (Int8(how="static"), Int8(how="dynamic")) if self.how == "auto" else (self,)

    def compress(self, model: ExportedModel) -> Compressed | NotCompressed:
        """Return the quantized model; ``auto`` is static here.

        At most 1,024 training rows, evenly spaced, fix the ranges of the activations.

        Source: ``quantize_static`` (QDQ format, min-max calibration) and ``quantize_dynamic`` of
        ONNX Runtime.
        """
        import onnx

        how = "dynamic" if self.how == "dynamic" else "static"
        try:
            with tempfile.TemporaryDirectory(prefix="winnow-") as folder:
                content = _quantize(model, how, Path(folder))
        except Exception as error:  # the quantizer raises whatever its insides raise
            said = f"ONNX Runtime's {how} quantizer cannot handle this model: {first_line(error)}"
            return NotCompressed("failed", said)
        found = onnx.load_model_from_string(content)
        share, left = _count(found)
        if share == 0:
            said = f"ONNX Runtime's {how} quantizer changed nothing: no weight became an integer"
            return NotCompressed("nothing_to_change", said)
        _slim(found)
        notes: tuple[str, ...] = ()
        if left:
            notes = (f"{share:.0%} of the weights are integers; floats remain in {left}",)
        return Compressed(found.SerializeToString(), share=share, notes=notes)


def _quantize(model: ExportedModel, how: str, folder: Path) -> bytes:
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
            if not len(model.rows):
                raise ValueError("no calibration rows")
            self.pieces = model.calibration()

        def get_next(self) -> dict[str, np.ndarray] | None:
            piece = next(self.pieces, None)
            return None if piece is None else by_name(piece)

    given, prepared, done = folder / "given.onnx", folder / "prepared.onnx", folder / "done.onnx"
    given.write_bytes(model.onnx)
    # Shapes come from ONNX itself: the symbolic inference found nothing more on seven
    # architectures, gives up on unknown operators, and then leaves a file in the current directory.
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


def _count(model: ModelProto) -> tuple[float, str]:
    """Return share of the weights' elements that are 8-bit integers, and the operators that still
    read float weights.
    """
    from onnx import TensorProto

    # Weights are matrices and kernels. Biases, scales and norms are vectors; an LSTM's bias is one
    # of shape (1, 8 * hidden).
    weights = {t.name: t for t in model.graph.initializer if len(t.dims) >= 2}
    size = {name: math.prod(tensor.dims) for name, tensor in weights.items()}
    integers, floats = set(), set()
    for name, tensor in weights.items():
        if tensor.data_type in (TensorProto.INT8, TensorProto.UINT8):
            integers.add(name)
        elif tensor.data_type == TensorProto.FLOAT and sum(d > 1 for d in tensor.dims) >= 2:
            floats.add(name)
    whole = sum(size[name] for name in integers | floats)
    if whole == 0:
        return 0.0, ""
    readers = [node.op_type for node in model.graph.node if floats.intersection(node.input)]
    return sum(size[name] for name in integers) / whole, ", ".join(dict.fromkeys(readers))


def _slim(model: ModelProto) -> None:
    """Leave out what only tools read: notes, inferred shapes, operator sets that no node uses."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    for item in (model, model.graph, *model.graph.node):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.graph.ClearField("value_info")
