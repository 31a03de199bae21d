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
    """An ``onnx.ModelProto`` of input ``x`` (batch, *in_shape) and output ``y``; None where
    PyTorch's exporter is needed: for any module but a ready MLP, and for one that has hooks or
    layers of other kinds in it.

    Args:
        model: in evaluation mode, float32, on the CPU.
        in_shape: shape of one row.
    """
    if not _is_ready(model, "MLP") or any(_is_changed(module) for module in model.modules()):
        return None
    parts: Any = model
    graph = _Graph()
    try:
        y = graph.node("Flatten", ["x"], axis=1) if len(in_shape) > 1 else "x"
        for i in range(parts.depth):
            y = _block(graph, f"block{i + 1}", model.get_submodule(f"block{i + 1}"), y)
        _linear(graph, "head", parts.head, y, output="y")
    except _Unfamiliar:
        return None
    return graph.model(in_shape, parts.head.out_features)


def _is_ready(module: torch.nn.Module, name: str) -> bool:
    """Whether it is of this class of ``winnow.models``, and not of one derived from it."""
    return (type(module).__module__, type(module).__qualname__) == ("winnow.models._ready", name)


def _is_changed(module: torch.nn.Module) -> bool:
    """Whether calling it may do something else than its class says."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return any(hooks) or "forward" in vars(module)


def _block(graph: _Graph, name: str, block: Any, x: str) -> str:
    if not _is_ready(block, "Block"):
        raise _Unfamiliar
    y = _normalized(graph, f"{name}.norm", block.norm, (f"{name}.linear", block.linear), x)
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
    """A linear layer; a batch normalization behind it is a change of its weights."""
    from torch import nn

    if type(linear) is not nn.Linear or linear.bias is None:
        raise _Unfamiliar
    weight, bias = _numbers(linear.weight), _numbers(linear.bias)
    if norm is not None:
        if norm.running_var is None or norm.running_mean is None or norm.weight is None:
            raise _Unfamiliar
        scale = _numbers(norm.weight) / np.sqrt(_numbers(norm.running_var) + norm.eps)
        weight = weight * scale[:, None]
        bias = (bias - _numbers(norm.running_mean)) * scale + _numbers(norm.bias)
    inputs = [x, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    return graph.node("Gemm", inputs, output=output, transB=1)


def _normalized(
    graph: _Graph, name: str, norm: torch.nn.Module, linear: tuple[str, torch.nn.Module], x: str
) -> str:
    """A linear layer and the norm behind it."""
    from torch import nn

    if type(norm) is nn.BatchNorm1d:
        return _linear(graph, *linear, x, norm=norm)
    y = _linear(graph, *linear, x)
    if type(norm) is nn.Identity:
        return y
    if type(norm) is not nn.LayerNorm or len(norm.normalized_shape) != 1 or norm.bias is None:
        raise _Unfamiliar
    inputs = [
        y,
        graph.constant(f"{name}.weight", _numbers(norm.weight)),
        graph.constant(f"{name}.bias", _numbers(norm.bias)),
    ]
    return graph.node("LayerNormalization", inputs, axis=-1, epsilon=norm.eps)


def _activated(graph: _Graph, activation: torch.nn.Module, x: str) -> str:
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
    return tensor.detach().double().numpy()


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        self._constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def node(
        self, operator: str, inputs: Sequence[str], *, output: str | None = None, **attributes: Any
    ) -> str:
        """Add a node; the name of its output."""
        from onnx import helper

        output = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def model(self, in_shape: Sequence[int], out_features: int) -> Any:
        from onnx import TensorProto, helper

        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])
            for name, shape in (("x", in_shape), ("y", [out_features]))
        ]
        graph = helper.make_graph(self._nodes, "main_graph", ends[:1], ends[1:], self._constants)
        operators = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=operators, ir_version=IR_VERSION, producer_name="winnow"
        )
