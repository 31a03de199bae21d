"""The contract of compressors. Axes: N rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from winnow.methods import BaseCompressor, Compressed, ExportedModel, NotCompressed, in_order
from winnow.testing._contract import calling, expect, expect_family, others

__all__ = ["check_compressor"]

_ROWS, _FEATURES, _WIDTH, _CLASSES = 256, 6, 128, 3
_BATCH_SIZES = (1, 2, 7)
_CODES = ("unsupported", "nothing_to_change", "failed")


def check_compressor(compressor: BaseCompressor, model: ExportedModel | None = None) -> None:
    """Check that a compressor keeps the contract of ``BaseCompressor``.

    It makes a file that ONNX Runtime runs at any batch size, with finite outputs of the shape that
    the float32 model gives; the same the second time; it leaves the trained module as it is; each
    setting has an effect.

    Args:
        compressor: with its settings.
        model: what to try it on; None: a perceptron with two hidden layers of 128.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import Float16
        >>> check_compressor(Float16())
    """
    name = expect_family(compressor, BaseCompressor)
    given = _perceptron() if model is None else model
    with calling(f"{name}: in_turn"):
        (turn,) = in_order([compressor])
    made = [_checked(one, given) for one in turn]
    reasons = "; ".join(one.text for one in made if isinstance(one, NotCompressed))
    expect(
        any(isinstance(one, Compressed) for one in made),
        f"{name}: it makes nothing of this model ({reasons}): give one that it is for as `model`",
    )
    for setting, other in others(compressor).items():
        again = [_called(one, given) for one in other.in_turn()]
        expect(
            _facts(again, given) != _facts(made, given),
            f"{name}: its setting {setting!r} has no effect",
        )


def _checked(compressor: BaseCompressor, model: ExportedModel) -> Compressed | NotCompressed:
    name = type(compressor).__name__
    before = _weights(model.original)
    made = _called(compressor, model)
    expect(
        _weights(model.original) == before,
        f"{name}: compress changes the trained module; model.module() gives a copy",
    )
    if isinstance(made, NotCompressed):
        expect(made.code in _CODES, f"{name}: the code {made.code!r} is none of {_CODES}")
        expect(bool(made.text), f"{name}: it does not say why it made nothing")
        return made
    expect(0 < made.share <= 1, f"{name}: share is {made.share:g}, and must be in (0, 1]")
    for size in _BATCH_SIZES:
        rows = np.asarray(model.rows[:size], dtype=np.float32)
        expected = _outputs("the float32 model", model.onnx, rows)
        found = _outputs(name, made.onnx, rows)
        expect(
            found.shape == expected.shape,
            f"{name}: its outputs of {size} rows are of shape {found.shape}, and must be of shape "
            f"{expected.shape}",
        )
        expect(bool(np.isfinite(found).all()), f"{name}: its outputs are not finite")
    expect(
        _facts([_called(compressor, model)], model) == _facts([made], model),
        f"{name}: it makes another model of the same one the second time",
    )
    return made


def _called(compressor: BaseCompressor, model: ExportedModel) -> Compressed | NotCompressed:
    name = type(compressor).__name__
    with calling(f"{name}: compress"):
        made = compressor.compress(model)
    expect(
        isinstance(made, Compressed | NotCompressed),
        f"{name}: compress gives a {type(made).__name__}, and must give a Compressed or a "
        f"NotCompressed",
    )
    return made


def _facts(made: list[Compressed | NotCompressed], model: ExportedModel) -> list[Any]:
    """What shows that models are others: their sizes, and their outputs of a few rows."""
    rows = np.asarray(model.rows[: max(_BATCH_SIZES)], dtype=np.float32)
    facts: list[Any] = []
    for one in made:
        if isinstance(one, NotCompressed):
            facts.append(one)
        else:
            facts.append((len(one.onnx), _outputs("the model", one.onnx, rows).tobytes()))
    return facts


def _outputs(name: str, onnx: bytes, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    with calling(f"{name}: ONNX Runtime, with {len(rows)} rows as input 'x',"):
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"x": rows})
    return np.asarray(found)


def _weights(module: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def _perceptron() -> ExportedModel:
    """A perceptron with random weights, and random rows."""
    generator = torch.Generator().manual_seed(0)
    layers = [
        nn.Linear(_FEATURES, _WIDTH),
        nn.ReLU(),
        nn.Linear(_WIDTH, _WIDTH),
        nn.ReLU(),
        nn.Linear(_WIDTH, _CLASSES),
    ]
    for layer in layers:
        for tensor in layer.parameters():
            values = torch.randn(tensor.shape, generator=generator)
            tensor.data.copy_(values / tensor.shape[-1] ** 0.5)
    module = nn.Sequential(*layers).eval()
    rows = torch.randn(_ROWS, _FEATURES, generator=generator).numpy()
    return ExportedModel(_exported(module), rows, module)


def _exported(module: nn.Sequential) -> bytes:
    """The ONNX model of linear layers and ReLUs, written down without PyTorch's slow exporter."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, last = [], [], "x"
    for i, layer in enumerate(module):
        output = "y" if i == len(module) - 1 else f"hidden{i}"
        if isinstance(layer, nn.Linear):
            numbers = {"weight": layer.weight, "bias": layer.bias}
            named = {f"{key}{i}": tensor.detach().numpy() for key, tensor in numbers.items()}
            tensors += [numpy_helper.from_array(array, key) for key, array in named.items()]
            nodes.append(helper.make_node("Gemm", [last, *named], [output], transB=1))
        else:
            nodes.append(helper.make_node("Relu", [last], [output]))
        last = output
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", _FEATURES])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", _CLASSES])
    graph = helper.make_graph(nodes, "perceptron", [x], [y], tensors)
    opset = helper.make_opsetid("", 20)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())
