"""What ONNX Runtime's quantizer made of a model, looked at with onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.compression.conftest import Model

from winnow.compression import _quantize, quantize
from winnow.errors import ModelError


def run(content: bytes, rows: np.ndarray) -> np.ndarray:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
        None, {"x": rows}
    )[0]


def weights(content: bytes) -> dict[str, onnx.TensorProto]:
    return {t.name: t for t in onnx.load_model_from_string(content).graph.initializer}


@pytest.mark.parametrize("name", ["mlp", "convnet"])
def test_static_int8_is_small_and_close(
    name: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    model: Model = request.getfixturevalue(name)
    fp32: bytes = request.getfixturevalue(f"onnx_of_{name}")
    rows = model.prepared.validation.X

    found = quantize(fp32, model.prepared.train.X)

    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert (found.how, found.share, found.left) == ("static", 1.0, ())
    assert len(found.onnx) < 0.6 * len(fp32)
    expected, got = run(fp32, rows), run(found.onnx, rows)
    assert np.abs(got - expected).mean() < 0.05 * expected.std()
    assert not np.array_equal(got, expected)


def test_weights_are_signed_bytes_with_a_scale_for_each_channel(
    convnet: Model, onnx_of_convnet: bytes
) -> None:
    found = quantize(onnx_of_convnet, convnet.prepared.train.X)
    graph = onnx.load_model_from_string(found.onnx).graph
    tensors = weights(found.onnx)
    scales = {
        node.input[0]: tensors[node.input[1]].dims
        for node in graph.node
        if node.op_type == "DequantizeLinear"
    }

    kernels = {n: t for n, t in tensors.items() if len(t.dims) == 4}

    assert len(kernels) == 2
    assert all(
        t.data_type == TensorProto.INT8 and scales[n] == [t.dims[0]] for n, t in kernels.items()
    )
    zero_points = {
        tensors[node.input[2]].data_type for node in graph.node if node.op_type == "QuantizeLinear"
    }
    assert zero_points == {TensorProto.UINT8}


def test_ranges_come_from_the_calibration_rows(mlp: Model, onnx_of_mlp: bytes) -> None:
    rows = mlp.prepared.train.X

    def input_scale(content: bytes) -> float:
        graph = onnx.load_model_from_string(content).graph
        scale = next(
            n.input[1] for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x"
        )
        return float(onnx.numpy_helper.to_array(weights(content)[scale]))

    assert input_scale(quantize(onnx_of_mlp, rows).onnx) == pytest.approx(
        (rows.max() - rows.min()) / 255, rel=1e-5
    )
    assert input_scale(quantize(onnx_of_mlp, 3 * rows).onnx) == pytest.approx(
        3 * (rows.max() - rows.min()) / 255, rel=1e-5
    )


def test_calibration_rows_are_few_spread_out_and_read_in_strides() -> None:
    rows = np.arange(5000, dtype=np.float64).reshape(5000, 1)

    pieces = [piece["x"] for piece in _quantize._pieces(rows)]

    assert {len(p) for p in pieces} == {64}
    assert all(p.dtype == np.float32 for p in pieces)
    chosen = np.concatenate(pieces)[:, 0]
    assert (len(chosen), chosen[0], chosen[-1]) == (1024, 0, 4999)
    assert set(np.diff(chosen)) == {4, 5}
    assert len(np.concatenate([p["x"] for p in _quantize._pieces(rows[:10])])) == 10


def test_what_stays_in_floats_is_said_and_dynamic_reaches_it(
    lstm: Model, onnx_of_lstm: bytes
) -> None:
    static = quantize(onnx_of_lstm, lstm.prepared.train.X)
    dynamic = quantize(onnx_of_lstm, lstm.prepared.train.X, how="dynamic")

    assert static.left == ("LSTM",)
    # The LSTM's input weights are a vector: one feature a step
    assert static.share == pytest.approx(24 * 3 / (24 * 3 + 96 * 24))
    assert (dynamic.how, dynamic.left) == ("dynamic", ())
    assert dynamic.share == 1.0
    rows = lstm.prepared.validation.X
    np.testing.assert_allclose(run(dynamic.onnx, rows), run(onnx_of_lstm, rows), atol=0.1)


def model(*nodes: onnx.NodeProto) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_a_quantizer_that_changed_nothing_is_found_out(how: str) -> None:
    rows = np.ones((8, 4), dtype=np.float32)

    with pytest.raises(
        ModelError, match=f"{how} quantizer changed nothing: no weight became an integer"
    ):
        quantize(model(helper.make_node("Tanh", ["x"], ["y"])), rows, how=how)  # type: ignore[arg-type]


def test_a_quantizer_that_fails_is_quoted_and_leaves_nothing_behind(
    mlp: Model, onnx_of_mlp: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ModelError, match=r"static quantizer cannot handle this model: .*NoSuchOperator"
    ):
        quantize(
            model(helper.make_node("NoSuchOperator", ["x"], ["y"])),
            np.ones((8, 4), dtype=np.float32),
        )
    with pytest.raises(
        ModelError, match="static quantizer cannot handle this model: no calibration rows"
    ):
        quantize(onnx_of_mlp, mlp.prepared.train.X[:0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_sums_of_two_products_fit_into_16_bits(
    mlp: Model, onnx_of_mlp: bytes, how: Literal["static", "dynamic"]
) -> None:
    """Processors without VNNI add them so, and would give other answers when they overflow."""
    found = quantize(onnx_of_mlp, mlp.prepared.train.X, how=how)
    arrays = [
        onnx.numpy_helper.to_array(t)
        for t in weights(found.onnx).values()
        if t.data_type == TensorProto.INT8
    ]

    matrices = [a.astype(int) for a in arrays if a.ndim >= 2]

    assert matrices
    assert all(2 * 255 * np.abs(a).max() < 2**15 for a in matrices)
