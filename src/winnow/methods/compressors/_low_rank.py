"""Linear layers as two thinner ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from winnow.methods.compressors._base import (
    BaseCompressor,
    Compressed,
    ExportedModel,
    NotCompressed,
)
from winnow.spec import Inside
from winnow.trees import by_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    Matrix = NDArray[np.float64]

__all__ = ["LowRank"]


class LowRank(BaseCompressor):
    """A linear layer becomes two, through as few values as its outputs on training rows need.

    A layer stays as it is where two layers would hold no fewer weights. It suits wide layers whose
    outputs vary in few directions; both the file and the computation become smaller.
    """

    phrase: ClassVar[str] = "linear layers as products of two thinner ones"

    kind: Literal["low_rank"] = "low_rank"
    error: Inside = 0.05
    """Of each layer's outputs on training rows, relative, as a root mean square."""

    def compress(self, model: ExportedModel) -> Compressed | NotCompressed:
        """Return the model with its linear layers factored.

        With outputs ``Y = X W`` of a layer on up to 1,024 training rows, without its bias, and
        ``V`` the first r right singular vectors of ``Y``, ``W`` becomes ``(W V) V^T``. Then
        ``X W V V^T`` is the truncated SVD of ``Y``, which no other matrix of rank r brings nearer
        to ``Y`` (Eckart and Young 1936); r is the smallest with a relative error of at most
        ``error``.

        Source: the responses' principal directions as in Zhang et al. 2016, "Accelerating Very Deep
        Convolutional Networks", equations 2 to 4, without subtracting the mean.
        """
        import onnx

        found = onnx.load_model_from_string(model.onnx)
        if found.functions or any(_has_branches(node) for node in found.graph.node):
            said = "the model has control flow, which may read a weight a second time"
            return NotCompressed("unsupported", said)
        layers = _linear_layers(found)
        if not layers:
            said = "the model has no linear layer of its own weight"
            return NotCompressed("nothing_to_change", said)
        if not len(model.rows):
            return NotCompressed("failed", "there are no calibration rows")
        weights = {name: _weight(found, node) for name, node in layers.items()}
        factors = _factors(weights, _second_moments(model, layers, weights), self.error)
        if not factors:
            said = f"at an error of {self.error:g} no linear layer would hold fewer weights"
            return NotCompressed("nothing_to_change", said)
        changed = sum(weights[name].size for name in factors)
        share = changed / _matrix_values(found)
        for name, (first, second) in factors.items():
            _replace(found, layers[name], first, second)
        told = [_in_words(*both) for both in factors.values()]
        note = f"{len(factors)} of {len(layers)} linear layers are factored: {', '.join(told)}"
        return Compressed(found.SerializeToString(), share=share, notes=(note,))


def _factors(
    weights: Mapping[str, Matrix], moments: Mapping[str, Matrix], error: float
) -> dict[str, tuple[Matrix, Matrix]]:
    """Return two thinner weights for each layer where they hold fewer values than the one."""
    found = {}
    for name, weight in weights.items():
        directions = _directions(moments[name], error)
        rank = directions.shape[1]
        if rank * sum(weight.shape) < weight.size:
            found[name] = (weight @ directions, directions.T)
    return found


def _in_words(first: Matrix, second: Matrix) -> str:
    return f"{len(first)} x {second.shape[1]} at rank {len(second)}"


def _linear_layers(model: ModelProto) -> dict[str, NodeProto]:
    """Return the nodes that multiply rows by a weight of their own, by the name of their output."""
    from onnx import TensorProto

    matrices = {
        tensor.name
        for tensor in model.graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == TensorProto.FLOAT
    }
    read = Counter(name for node in model.graph.node for name in node.input)
    found = {}
    for node in model.graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[0] in matrices:
            continue
        settings = _attributes(node)
        is_plain = settings.get("alpha", 1.0) == 1.0 and not settings.get("transA", 0)
        if is_plain and node.input[1] in matrices and read[node.input[1]] == 1:
            found[node.output[0]] = node
    return found


def _attributes(node: NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _has_branches(node: NodeProto) -> bool:
    """Return whether it holds graphs of its own, as ``If`` and ``Loop`` do."""
    return any(one.HasField("g") or one.graphs for one in node.attribute)


def _weight(model: ModelProto, node: NodeProto) -> Matrix:
    """Return the weight of a layer, (inputs, outputs)."""
    import numpy as np
    from onnx import numpy_helper

    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    weight = numpy_helper.to_array(tensor).astype(np.float64)
    return weight.T if _attributes(node).get("transB", 0) else weight


def _second_moments(
    model: ExportedModel,
    layers: Mapping[str, NodeProto],
    weights: Mapping[str, Matrix],
) -> dict[str, Matrix]:
    """Return ``Y^T Y`` of each layer's outputs ``Y`` on the calibration rows, (outputs,
    outputs).
    """
    import numpy as np

    moments = {name: np.zeros((weight.shape[1],) * 2) for name, weight in weights.items()}
    for seen in _inputs_of_layers(model, layers):
        for name, node in layers.items():
            rows = seen[node.input[0]].astype(np.float64)
            responses = rows.reshape(-1, rows.shape[-1]) @ weights[name]
            moments[name] += responses.T @ responses
    return moments


def _inputs_of_layers(
    model: ExportedModel, layers: Mapping[str, NodeProto]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield what the layers read, by name, for some calibration rows after the other."""
    import onnx
    import onnxruntime

    shown = onnx.load_model_from_string(model.onnx)
    outputs = {value.name for value in shown.graph.output}
    given = {value.name for value in shown.graph.input}
    inputs = sorted({node.input[0] for node in layers.values()} - given)
    # ONNX Runtime gives what is named as an output, and nothing else of what it computes.
    for name in inputs:
        if name not in outputs:
            shown.graph.output.append(onnx.ValueInfoProto(name=name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content, providers = shown.SerializeToString(), ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    for piece in model.calibration():
        # Without names it would run for all outputs, so the first layer alone is not asked about
        fed = by_name(piece)
        found = session.run(inputs, fed) if inputs else []
        yield {**fed, **dict(zip(inputs, found, strict=True))}


def _directions(moments: Matrix, error: float) -> Matrix:
    """Return the fewest leading eigenvectors, (outputs, rank), that leave at most ``error``."""
    import numpy as np

    values, vectors = np.linalg.eigh(moments)  # from the smallest value
    # Rounding leaves values below 0 where there is nothing.
    left_out = np.cumsum(np.maximum(values, 0.0))
    num_dropped = int(np.searchsorted(left_out, error**2 * left_out[-1], side="right"))
    # Outputs that are all 0 keep one direction, as a layer of rank 0 is none.
    num_dropped = min(num_dropped, len(values) - 1)
    return vectors[:, num_dropped:][:, ::-1]


def _matrix_values(model: ModelProto) -> int:
    """Return how many values the matrices and kernels hold."""
    tensors = [tensor for tensor in model.graph.initializer if len(tensor.dims) >= 2]
    return sum(math.prod(tensor.dims) for tensor in tensors)


def _replace(model: ModelProto, node: NodeProto, first: Matrix, second: Matrix) -> None:
    """Put two layers in the place of one; the bias goes to the second."""
    import numpy as np
    from onnx import helper, numpy_helper

    rows, replaced, *bias = node.input
    output = node.output[0]
    hidden, into, out_of = f"{output}.hidden", f"{output}.into", f"{output}.out_of"
    for name, factor in ((into, first), (out_of, second)):
        content = np.ascontiguousarray(factor, dtype=np.float32)
        model.graph.initializer.append(numpy_helper.from_array(content, name))
    settings = {key: one for key, one in _attributes(node).items() if key == "beta"}
    thin = helper.make_node("MatMul", [rows, into], [hidden])
    wide = helper.make_node(node.op_type, [hidden, out_of, *bias], [output], **settings)
    tensors = model.graph.initializer
    tensors.remove(next(tensor for tensor in tensors if tensor.name == replaced))
    position = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    model.graph.node.insert(position, wide)
    model.graph.node.insert(position, thin)
