"""From a PyTorch module to ONNX bytes.

torch is imported where it is used: reading a bundle must not need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.bundle._blame import blame
from winnow.bundle._parity import (
    TOLERANCE,
    eager_output,
    has_rows,
    inference_copy,
    measure_parity,
    random_rows,
    real_rows,
)
from winnow.bundle._ready_onnx import convert_ready
from winnow.bundle._silence import quiet
from winnow.errors import ModelError
from winnow.trees import Input, Tree, as_inputs, by_name, call, leaves, like, main

if TYPE_CHECKING:
    import torch

__all__ = ["export_onnx"]

_LARGEST_BYTES = 2**31 - 1  # what one protobuf message may hold


def export_onnx(module: torch.nn.Module, inputs: Tree, *, example: Tree | None = None) -> bytes:
    """Export a module as one ONNX model.

    The result was compared with eager PyTorch (``measure_parity``). Weights are inside, traces of
    the source code are not.

    Args:
        module: any module of tensors; it is left unchanged, training mode included.
        inputs: a tree of ``trees.Input``, or the shape of one row of floats.
        example: real rows in the structure of ``inputs``, each (n, ...), already prepared; compared
            besides random ones.

    Returns:
        The model's bytes: input ``x`` (batch, ...), or several by their names (``trees.by_name``),
        the main output ``y``, batch size free.

    Raises:
        ModelError: the exporter cannot express the model (names the module and the operator), or
            ONNX Runtime's outputs differ from PyTorch's (names the worst difference).
    """
    model, inputs = inference_copy(module), as_inputs(inputs)
    ready = convert_ready(model, inputs.shape) if isinstance(inputs, Input) else None
    onnx = _convert(model, inputs, example) if ready is None else _serialize(ready)
    parity = measure_parity(model, onnx, inputs, example=example)
    if not parity.holds:
        raise ModelError(
            f"the exported model does not compute what PyTorch computes: outputs differ by up to "
            f"{parity.worst:.3g} "
            f"({parity.worst_at}), allowed are {TOLERANCE:g} + {TOLERANCE:g} * |output|"
        )
    return onnx


def _with_main_output(model: torch.nn.Module, inputs: Tree) -> torch.nn.Module:
    """Return a module around ``model`` that takes inputs in order and gives the main output."""
    import torch

    class MainOutput(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *parts: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = main(call(self.model, like(inputs, iter(parts))))
            return output

    return MainOutput().eval()


def _is_plain(model: torch.nn.Module, rows: Tree) -> bool:
    """Tell whether a model maps one tensor to one tensor."""
    import torch

    if not isinstance(rows, np.ndarray):
        return False
    with torch.inference_mode():
        return isinstance(model(torch.from_numpy(rows)), torch.Tensor)


def _convert(model: torch.nn.Module, inputs: Tree, example: Tree | None) -> bytes:
    """Trace a module with PyTorch's exporter."""
    import torch

    # Two rows: the exporter takes a batch of one for a constant.
    if example is not None and has_rows(example):
        rows = real_rows(inputs, 2, example)
    else:
        rows = random_rows(inputs, 2, None)
    eager_output(model, rows)  # a model that does not run at all is told so in its own words
    tensors = tuple(torch.from_numpy(array.copy()) for array in leaves(rows))
    names, batch = list(by_name(inputs)), {0: torch.export.Dim("batch")}
    whole: torch.nn.Module = model
    arguments: dict[str, Any] = {"dynamic_shapes": (batch,)}
    if not _is_plain(model, rows):
        whole = _with_main_output(model, inputs)
        arguments = {"dynamic_shapes": (tuple(batch for _ in tensors),)}
    try:
        with quiet():
            program = torch.onnx.export(
                whole,
                tensors,
                dynamo=True,
                input_names=names,
                output_names=["output" if "y" in names else "y"],
                verbose=False,
                **arguments,
            )
    # The exporter's errors share no base, and a user's forward may raise anything
    except Exception as error:
        raise ModelError(
            f"cannot export the model to ONNX: {blame(error, model, whole, tensors, arguments)}"
        ) from error
    assert program is not None
    return _serialize(program.model_proto)


def _serialize(model: Any) -> bytes:
    """Return a model as one file, with its weights inside.

    The exporter's notes are left out: they hold paths and source lines of this machine.
    """
    graph = model.graph
    values = [*graph.input, *graph.output, *graph.initializer]
    for item in (model, graph, *graph.node, *values, *model.functions):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    graph.ClearField("value_info")
    if model.ByteSize() > _LARGEST_BYTES:
        raise ModelError(
            f"the model has {model.ByteSize():,} bytes; one ONNX file holds at most "
            f"{_LARGEST_BYTES:,}"
        )
    return bytes(model.SerializeToString())
