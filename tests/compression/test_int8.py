"""What ONNX Runtime's quantizer made of a model, looked at with onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tests.compression.conftest import Model
from torch import nn

from winnow.bundle import quiet
from winnow.methods import Compressed, ExportedModel, Int8, NotCompressed


def quantized(
    onnx: bytes, model: Model, how: Literal["static", "dynamic"] = "static", *, rows: Any = None
) -> Compressed:
    found = Int8(how=how).compress(model.exported(onnx, rows=rows))
    assert isinstance(found, Compressed)
    return found


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

    with quiet():
        found = quantized(fp32, model)

    printed = capfd.readouterr()
    assert printed.out == printed.err == ""
    assert (found.share, found.notes) == (1.0, ())
    assert len(found.onnx) < 0.6 * len(fp32)
    expected, got = run(fp32, rows), run(found.onnx, rows)
    assert np.abs(got - expected).mean() < 0.05 * expected.std()
    assert not np.array_equal(got, expected)


def test_weights_are_signed_bytes_with_a_scale_for_each_channel(
    convnet: Model, onnx_of_convnet: bytes
) -> None:
    found = quantized(onnx_of_convnet, convnet)
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

    assert input_scale(quantized(onnx_of_mlp, mlp).onnx) == pytest.approx(
        (rows.max() - rows.min()) / 255, rel=1e-5
    )
    assert input_scale(quantized(onnx_of_mlp, mlp, rows=3 * rows).onnx) == pytest.approx(
        3 * (rows.max() - rows.min()) / 255, rel=1e-5
    )


def test_calibration_rows_are_few_spread_out_and_read_in_strides() -> None:
    rows = np.arange(5000, dtype=np.float64).reshape(5000, 1)

    pieces = list(ExportedModel(b"", rows, nn.Identity()).calibration())

    assert {len(p) for p in pieces} == {64}
    assert all(p.dtype == np.float32 for p in pieces)
    chosen = np.concatenate(pieces)[:, 0]
    assert (len(chosen), chosen[0], chosen[-1]) == (1024, 0, 4999)
    assert set(np.diff(chosen)) == {4, 5}
    few = ExportedModel(b"", rows[:10], nn.Identity()).calibration()
    assert np.concatenate(list(few))[:, 0].tolist() == list(range(10))


def test_what_stays_in_floats_is_said_and_dynamic_reaches_it(
    lstm: Model, onnx_of_lstm: bytes
) -> None:
    static = quantized(onnx_of_lstm, lstm)
    dynamic = quantized(onnx_of_lstm, lstm, "dynamic")

    assert static.notes == ("3% of the weights are integers; floats remain in LSTM",)
    # The LSTM's input weights are a vector: one feature a step
    assert static.share == pytest.approx(24 * 3 / (24 * 3 + 96 * 24))
    assert (dynamic.share, dynamic.notes) == (1.0, ())
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


def refusal(onnx: bytes, rows: np.ndarray, how: Literal["static", "dynamic"]) -> NotCompressed:
    found = Int8(how=how).compress(ExportedModel(onnx, rows, nn.Identity()))
    assert isinstance(found, NotCompressed)
    return found


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_a_quantizer_that_changed_nothing_is_found_out(how: Literal["static", "dynamic"]) -> None:
    rows = np.ones((8, 4), dtype=np.float32)

    found = refusal(model(helper.make_node("Tanh", ["x"], ["y"])), rows, how)

    assert found.code == "nothing_to_change"
    assert f"{how} quantizer changed nothing: no weight became an integer" in found.text


def test_a_quantizer_that_fails_is_quoted_and_leaves_nothing_behind(
    mlp: Model, onnx_of_mlp: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.ones((8, 4), dtype=np.float32)

    unknown = refusal(model(helper.make_node("NoSuchOperator", ["x"], ["y"])), rows, "static")
    empty = refusal(onnx_of_mlp, mlp.prepared.train.X[:0], "static")

    assert (unknown.code, empty.code) == ("failed", "failed")
    assert "static quantizer cannot handle this model: " in unknown.text
    assert "NoSuchOperator" in unknown.text
    assert empty.text.endswith("static quantizer cannot handle this model: no calibration rows")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["static", "dynamic"])
def test_sums_of_two_products_fit_into_16_bits(
    mlp: Model, onnx_of_mlp: bytes, how: Literal["static", "dynamic"]
) -> None:
    """Processors without VNNI add them so, and would give other answers when they overflow."""
    found = quantized(onnx_of_mlp, mlp, how)
    arrays = [
        onnx.numpy_helper.to_array(t)
        for t in weights(found.onnx).values()
        if t.data_type == TensorProto.INT8
    ]

    matrices = [a.astype(int) for a in arrays if a.ndim >= 2]

    assert matrices
    assert all(2 * 255 * np.abs(a).max() < 2**15 for a in matrices)
