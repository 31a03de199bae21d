"""The ready MLP as an ONNX model, written down layer by layer.

PyTorch's exporter traces any module; to import and run it takes five seconds of processor time.
What the layers of a ready model compute is known, so its graph can be written at once. The caller
compares the result with eager PyTorch, as it does with what the exporter gives.

torch is imported where it is used, and classes of ``models`` are known by their names: reading a
bundle must not need torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["convert_ready"]

OPSET, IR_VERSION = 20, 10  # those of PyTorch's exporter; from operator set 20 on there is a GELU


class _Unfamiliar(Exception):
    """Raised at a layer that this file does not know."""


def convert_ready(model: torch.nn.Module, in_shape: Sequence[int]) -> Any | None:
    """Write a ready model down as ONNX.

    Args:
        model: in evaluation mode, float32, on the CPU.
        in_shape: shape of one row.

    Returns:
        An ``onnx.ModelProto`` of input ``x`` (batch, *in_shape) and output ``y``. None where
        PyTorch's exporter is needed: for any module but a ready MLP, and for one that has hooks or
        layers of other kinds in it.
    """
    if not _is_ready(model, "MLP") or any(_is_changed(module) for module in model.modules()):
        return None
    parts: Any = model
    graph = _Graph()
    try:
        y = graph.node("Flatten", ["x"], axis=1) if len(in_shape) > 1 else "x"
        for i in range(parts.depth):
            name = f"block{i + 1}"
            y = _block(graph, name, model.get_submodule(name), y)
        _linear(graph, "head", parts.head, y, output="y")
    except _Unfamiliar:
        return None
    return graph.model(in_shape, parts.head.out_features)


def _is_ready(module: torch.nn.Module, name: str) -> bool:
    """Tell whether a module is of this class of ``winnow.models``, and not of one derived from
    it.
    """
    kind = type(module)
    return kind.__module__ == "winnow.models._ready" and kind.__qualname__ == name


def _is_changed(module: torch.nn.Module) -> bool:
    """Tell whether calling a module may do something else than its class says."""
    if module._forward_hooks or module._forward_pre_hooks:
        return True
    return "forward" in vars(module)  # set on the object, over that of the class


def _block(graph: _Graph, name: str, block: Any, x: str) -> str:
    """Add a block; return the name of its output."""
    if not _is_ready(block, "Block"):
        raise _Unfamiliar
    linear = (f"{name}.linear", block.linear)
    y = _normalized(graph, f"{name}.norm", block.norm, linear, x)
    y = _activated(graph, block.activation, y)
    return graph.node("Add", [x, y]) if block.residual else y


def _linear(
    graph: _Graph,
    name: str,
    linear: torch.nn.Module,
    x: str,
    *,
    norm: Any = None,
    output: str | None = None,
) -> str:
    """Add a linear layer; return the name of its output.

    A batch normalization behind it is a change of its weights, as none of its statistics depends on
    the batch in evaluation mode.
    """
    from torch import nn

    if type(linear) is not nn.Linear or linear.bias is None:
        raise _Unfamiliar
    weight, bias = _numbers(linear.weight), _numbers(linear.bias)
    if norm is not None:
        if norm.running_var is None or norm.running_mean is None or norm.weight is None:
            raise _Unfamiliar
        deviation = np.sqrt(_numbers(norm.running_var) + norm.eps)
        scale = _numbers(norm.weight) / deviation
        weight = weight * scale[:, None]
        bias = (bias - _numbers(norm.running_mean)) * scale + _numbers(norm.bias)
    inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    return graph.node("Gemm", inputs, output=output, transB=1)


def _normalized(
    graph: _Graph, name: str, norm: torch.nn.Module, linear: tuple[str, torch.nn.Module], x: str
) -> str:
    """Add a linear layer and the norm behind it; return the name of the output."""
    from torch import nn

    if type(norm) is nn.BatchNorm1d:
        return _linear(graph, *linear, x, norm=norm)
    y = _linear(graph, *linear, x)
    if type(norm) is nn.Identity:
        return y
    if type(norm) is not nn.LayerNorm or len(norm.normalized_shape) != 1 or norm.bias is None:
        raise _Unfamiliar
    weight = graph.constant(f"{name}.weight", _numbers(norm.weight))
    bias = graph.constant(f"{name}.bias", _numbers(norm.bias))
    return graph.node("LayerNormalization", [y, weight, bias], axis=-1, epsilon=norm.eps)


def _activated(graph: _Graph, activation: torch.nn.Module, x: str) -> str:
    """Add an activation; return the name of its output."""
    from torch import nn

    if type(activation) is nn.SiLU:
        return graph.node("Mul", [x, graph.node("Sigmoid", [x])])
    if type(activation) is nn.GELU:
        return graph.node("Gelu", [x], approximate=activation.approximate)
    known = {nn.ReLU: "Relu", nn.Tanh: "Tanh"}
    if type(activation) not in known:
        raise _Unfamiliar
    return graph.node(known[type(activation)], [x])


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    # In double precision, so that folding the norm into the weights rounds only once.
    return tensor.detach().double().numpy()


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant as float32; return its name."""
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def model(self, in_shape: Sequence[int], out_features: int) -> Any:
        """Return the graph as an ``onnx.ModelProto``, its batch size free."""
        from onnx import TensorProto, helper

        kind = TensorProto.FLOAT
        x = helper.make_tensor_value_info("x", kind, ["batch", *in_shape])
        y = helper.make_tensor_value_info("y", kind, ["batch", out_features])
        graph = helper.make_graph(self._nodes, "main_graph", [x], [y], self._constants)
        operators = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=operators, ir_version=IR_VERSION, producer_name="winnow"
        )
