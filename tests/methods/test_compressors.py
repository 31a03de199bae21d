"""Compressors against NumPy: rounding to 16-bit floats, and the truncated SVD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from winnow.errors import RecipeError
from winnow.methods import (
    BaseCompressor,
    Compressed,
    ExportedModel,
    Float16,
    Int8,
    LowRank,
    NotCompressed,
    in_order,
)

Array = NDArray[Any]


def model_of(
    nodes: Sequence[onnx.NodeProto], weights: dict[str, Array], *, x: tuple[int, ...], y: int
) -> bytes:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, ["batch", *x])],
        [value("y", TensorProto.FLOAT, ["batch", *x[:-1], y])],
        [numpy_helper.from_array(w.astype(np.float32), name) for name, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def gemm(weight: Array, bias: Array) -> bytes:
    """``x @ weight.T + bias``."""
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    return model_of([node], {"w": weight, "b": bias}, x=weight.shape[1:], y=len(weight))


def compressed(compressor: BaseCompressor, content: bytes, rows: Array) -> Compressed:
    found = compressor.compress(ExportedModel(content, rows, nn.Identity()))
    assert isinstance(found, Compressed)
    return found


def refusal(compressor: BaseCompressor, content: bytes, rows: Array) -> NotCompressed:
    found = compressor.compress(ExportedModel(content, rows, nn.Identity()))
    assert isinstance(found, NotCompressed)
    return found


def run(content: bytes, rows: Array) -> Array:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows.astype(np.float32)})[0]


def tensors(content: bytes) -> dict[str, Array]:
    graph = onnx.load_model_from_string(content).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# -- float16 ---------------------------------------------------------------------------------------


def test_float16_rounds_every_weight_as_numpy_does() -> None:
    weight, bias, rows = normal(50, 40), normal(50, seed=1), normal(30, 40, seed=2)
    content = gemm(weight, bias)

    found = compressed(Float16(), content, rows)

    rounded = weight.astype(np.float16)
    np.testing.assert_array_equal(tensors(found.onnx)["w.float16"], rounded)
    np.testing.assert_array_equal(tensors(found.onnx)["b"], bias)  # too small to be worth a node
    expected = rows @ rounded.astype(np.float32).T + bias
    np.testing.assert_allclose(run(found.onnx, rows), expected, rtol=1e-4, atol=1e-4)
    assert not np.array_equal(run(found.onnx, rows), run(content, rows))
    assert found.share == 2000 / 2050
    assert len(found.onnx) < 0.55 * len(content)


def test_float16_declines_small_models_and_weights_beyond_its_range() -> None:
    rows = normal(8, 10)
    large = normal(20, 10)
    large[3, 4] = 1e5

    small = refusal(Float16(), gemm(normal(3, 10), normal(3)), rows)
    beyond = refusal(Float16(), gemm(large, normal(20)), rows)

    assert small.code == "nothing_to_change"
    assert (beyond.code, beyond.text) == (
        "unsupported",
        "a weight is 1e+05, and 16-bit floats end at 65,504",
    )


# -- low rank --------------------------------------------------------------------------------------


def rank_needed(responses: Array, error: float) -> int:
    """The smallest rank whose truncated SVD is at most ``error`` away, tried one by one."""
    left, values, right = np.linalg.svd(responses, full_matrices=False)
    for rank in range(1, len(values) + 1):
        near = (left[:, :rank] * values[:rank]) @ right[:rank]
        if np.linalg.norm(responses - near) <= error * np.linalg.norm(responses):
            return rank
    raise AssertionError


@pytest.mark.parametrize("error", [0.02, 0.1, 0.3])
def test_low_rank_is_the_truncated_svd_of_the_layers_outputs(error: float) -> None:
    # Rows that vary in few directions make a weight of full rank compressible.
    rows = (normal(300, 6) * 0.5 ** np.arange(6)) @ normal(6, 80, seed=1)
    rows += 0.01 * normal(300, 80, seed=2)
    weight, bias = normal(60, 80, seed=3), normal(60, seed=4)
    content = gemm(weight, bias)

    found = compressed(LowRank(error=error), content, rows)

    responses = rows.astype(np.float64) @ weight.T.astype(np.float64)
    rank = rank_needed(responses, error)
    left, values, right = np.linalg.svd(responses, full_matrices=False)
    expected = (left[:, :rank] * values[:rank]) @ right[:rank] + bias
    np.testing.assert_allclose(run(found.onnx, rows), expected, rtol=1e-3, atol=1e-3)
    assert found.notes == (f"1 of 1 linear layers are factored: 80 x 60 at rank {rank}",)
    held = sum(tensor.size for tensor in tensors(found.onnx).values())
    assert held == rank * (80 + 60) + 60
    assert found.share == 1.0


def test_low_rank_factors_each_layer_by_its_own_outputs() -> None:
    """A MatMul over steps, whose inputs are a layer's outputs; what would not shrink stays."""
    wide = normal(40, 3) @ normal(3, 50, seed=1)
    narrow = normal(50, 4, seed=2)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Tanh", ["h"], ["t"]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    content = model_of(nodes, {"w": wide, "v": narrow}, x=(5, 40), y=4)
    rows = normal(64, 5, 40, seed=3)

    found = compressed(LowRank(error=1e-4), content, rows)

    assert found.notes == ("1 of 2 linear layers are factored: 40 x 50 at rank 3",)
    assert found.share == 2000 / 2200
    np.testing.assert_array_equal(tensors(found.onnx)["v"], narrow)
    assert "w" not in tensors(found.onnx)
    np.testing.assert_allclose(run(found.onnx, rows), run(content, rows), atol=1e-3)


def test_low_rank_declines_what_it_cannot_factor() -> None:
    rows = normal(64, 10)
    branch = helper.make_graph([], "empty", [], [])
    nodes = [
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
    ]
    square = normal(10, 10, seed=1)
    shared = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]

    full = refusal(LowRank(), gemm(square, normal(10)), rows)
    none = refusal(
        LowRank(), model_of([helper.make_node("Tanh", ["x"], ["y"])], {}, x=(4,), y=4), rows
    )
    branches = refusal(LowRank(), model_of(nodes, {"w": square, "c": square}, x=(10,), y=10), rows)
    twice = refusal(LowRank(), model_of(shared, {"w": square}, x=(10,), y=10), rows)
    empty = refusal(LowRank(), gemm(square, normal(10)), rows[:0])

    assert full.text == "at an error of 0.05 no linear layer would hold fewer weights"
    assert none.text == twice.text == "the model has no linear layer of its own weight"
    assert branches.code == "unsupported"
    assert (empty.code, empty.text) == ("failed", "there are no calibration rows")


# -- what they are called --------------------------------------------------------------------------


class Onnx(BaseCompressor):
    name: str = "onnx"

    @property
    def label(self) -> str:
        return self.name


def test_candidates_are_called_by_what_is_not_usual() -> None:
    turns = in_order([Int8(), LowRank(), LowRank(error=0.1), Float16(), Onnx(name="mine")])

    assert [[one.label for one in turn] for turn in turns] == [
        ["int8", "int8 dynamic"],
        ["low_rank"],
        ["low_rank(error=0.1)"],
        ["float16"],
        ["mine"],
    ]


def test_two_candidates_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="'int8 dynamic' is tried twice"):
        in_order([Int8(), Int8(how="dynamic")])
    with pytest.raises(ValueError, match="'onnx' is what the float32 model is called"):
        in_order([Onnx()])
    with pytest.raises(RecipeError, match="error: must be below 1, got 2"):
        LowRank(error=2)
