"""Weights stored as 16-bit floats."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from winnow.methods.compressors._base import (
    BaseCompressor,
    Compressed,
    ExportedModel,
    NotCompressed,
)

if TYPE_CHECKING:
    from onnx import TensorProto

__all__ = ["Float16"]

_LEAST_VALUES = 128  # below so many, the node that casts them back outweighs what is saved


class Float16(BaseCompressor):
    """The file is half as large, and every weight keeps 11 significant bits.

    The weights are cast back when the file is opened, so the model computes in 32 bits as before,
    at about the same speed and with as much memory. It is for those who prefer size.
    """

    phrase: ClassVar[str] = "weights stored as 16-bit floats"

    kind: Literal["float16"] = "float16"

    def compress(self, model: ExportedModel) -> Compressed | NotCompressed:
        """Return the model with its weights rounded to the nearest 16-bit floats.

        Source: IEEE 754 binary16; the rounding is that of ``numpy.ndarray.astype``.
        """
        import numpy as np
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        found = onnx.load_model_from_string(model.onnx)
        graph = found.graph
        floats = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
        large = [t for t in floats if _values(t) >= _LEAST_VALUES]
        if not large:
            said = f"no float32 weight has {_LEAST_VALUES} values or more"
            return NotCompressed("nothing_to_change", said)
        share = sum(map(_values, large)) / sum(map(_values, floats))
        casts = []
        for tensor in large:
            name, values = tensor.name, numpy_helper.to_array(tensor)
            with np.errstate(over="ignore"):  # told below
                halves = values.astype(np.float16)
            if not np.isfinite(halves).all():
                largest = np.abs(values).max()
                said = f"a weight is {largest:.3g}, and 16-bit floats end at 65,504"
                return NotCompressed("unsupported", said)
            # The cast takes over the name that the nodes of the model read.
            tensor.CopyFrom(numpy_helper.from_array(halves, f"{name}.float16"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        return Compressed(found.SerializeToString(), share=share)


def _values(tensor: TensorProto) -> int:
    return math.prod(tensor.dims)
