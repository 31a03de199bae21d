"""The model file of a bundle and its preparation: whether they fit, and what the model says to
prepared rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from winnow.bundle._files import MODEL
from winnow.bundle._session import run_onnx
from winnow.data import Preparation
from winnow.errors import BundleError, InputError, first_line
from winnow.trees import Tree, by_name, leaves, map_tree

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["check_fits", "outputs_of"]

_CHUNK_VALUES = 2**22  # numbers per call of the model: 16 MiB of input
_TYPES = {"float32": "float"}  # ONNX Runtime's names of types, where they are not NumPy's


def check_fits(session: onnxruntime.InferenceSession, preparation: Preparation) -> None:
    """Check that the model and the preparation speak of the same inputs and outputs.

    Raises:
        BundleError: they do not.
    """
    expected = [
        (name, list(one.shape), f"tensor({_TYPES.get(one.dtype, one.dtype)})")
        for name, one in by_name(preparation.inputs).items()
    ]
    found = [(i.name, list(i.shape[1:]), i.type) for i in session.get_inputs()]
    if found != expected:
        raise BundleError(
            f"{MODEL}: expected the inputs {_listed(expected)}, found {_listed(found) or 'none'}"
        )
    shape = session.get_outputs()[0].shape
    width = shape[1] if len(shape) > 1 else 1
    if isinstance(width, int) and width != preparation.out_features:
        raise BundleError(
            f"{MODEL}: expected {preparation.out_features} outputs for each row, found {width}"
        )


def _listed(inputs: list[tuple[str, list[int], str]]) -> str:
    return ", ".join(
        f"{name} ({', '.join(map(str, ['batch', *shape]))}) {kind}" for name, shape, kind in inputs
    )


def outputs_of(
    session: onnxruntime.InferenceSession, preparation: Preparation, X: Tree
) -> np.ndarray:
    """Return the model's raw outputs for prepared rows, (n, C) or (n, 1), float32.

    The rows go through the model in pieces, which bounds the memory.

    Raises:
        InputError: the model fails on whole numbers, such as an index beyond its embedding.
    """
    num_rows = len(leaves(X)[0])
    step = max(1, _CHUNK_VALUES // max(1, preparation.width))
    out = np.empty((num_rows, preparation.out_features), dtype=np.float32)
    for start in range(0, num_rows, step):
        rows = slice(start, start + step)
        piece = map_tree(lambda array, rows=rows: array[rows], X)
        try:
            found = run_onnx(session, piece)
        except Exception as error:  # ONNX Runtime's own exception types are many
            kept = [n for n, one in by_name(preparation.inputs).items() if not one.is_float]
            if not kept:
                raise
            raise InputError(
                f"the model does not take these values of {', '.join(kept)}: {first_line(error)}"
            ) from error
        out[rows] = found.reshape(len(found), -1)
    return out
