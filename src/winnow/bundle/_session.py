"""ONNX Runtime sessions over models that are data and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from winnow.errors import BundleError
from winnow.trees import Tree, by_name

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["check_self_contained", "open_session", "run_onnx"]

_ERRORS_ONLY = 3  # ONNX Runtime's log level


def open_session(onnx: bytes, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a CPU session over a model.

    Args:
        onnx: the bytes of the model.
        threads: for one call; None lets ONNX Runtime decide.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.inter_op_num_threads = 1
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def run_onnx(session: onnxruntime.InferenceSession, X: Tree) -> np.ndarray:
    """Return the raw outputs of an exported model, (rows, ...).

    Args:
        session: over the model.
        X: inputs in their types, an array (rows, ...) or a tuple or mapping of them.
    """
    inputs = {name: np.ascontiguousarray(array) for name, array in by_name(X).items()}
    found: np.ndarray = session.run(None, inputs)[0]
    return found


def check_self_contained(onnx: bytes) -> None:
    """Refuse a model that points to other files: a path in it could lead anywhere on the reader's
    disk.

    Raises:
        BundleError: not an ONNX model, or one with external data.
    """
    import onnx as onnx_library

    try:
        model = onnx_library.load_model_from_string(onnx)
    except Exception as error:  # protobuf's DecodeError, which has no types
        raise BundleError(f"model.onnx is not an ONNX model: {error}") from None
    for tensor in _tensors(model):
        if tensor.data_location == onnx_library.TensorProto.EXTERNAL or tensor.external_data:
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            where = places[0] if places else ""
            raise BundleError(
                f"model.onnx keeps the tensor {tensor.name!r} in another file ({where!r}); it "
                f"must be inside"
            )


def _tensors(message: Any) -> Iterator[Any]:
    """Yield every TensorProto below a protobuf message, wherever it hangs.

    That may be in initializers, attributes, subgraphs or functions.
    """
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in value if not hasattr(value, "ListFields") else (value,):
            if field.message_type.name == "TensorProto":
                yield item
            else:
                yield from _tensors(item)
