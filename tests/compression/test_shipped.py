"""The file that ships, measured: held against ONNX Runtime and scikit-learn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from scipy import special
from sklearn import metrics
from tests.compression.conftest import Model

from winnow import bundle
from winnow.compression import CompressionResult, measure_shipped
from winnow.compression._difference import difference
from winnow.recipe import metric_of
from winnow.stats import rows_interval


def outputs(content: bytes | None, x: np.ndarray) -> np.ndarray:
    assert content is not None
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
        None, {"x": x}
    )[0]


@pytest.mark.parametrize("candidate", ["onnx", "int8"])
def test_metrics_and_parity_are_those_of_the_file(
    compressed: CompressionResult, convnet: Model, candidate: str, tmp_path: Path
) -> None:
    path = compressed.save(tmp_path / "digits.winnow", candidate=candidate)
    test = convnet.prepared.test
    ours = outputs((path / "model.onnx").read_bytes(), test.X).astype(np.float64)
    with torch.inference_mode():
        theirs = convnet.module(torch.from_numpy(test.X.copy())).numpy()

    found = measure_shipped(bundle.load(path), convnet.prepared, convnet.module)

    assert found.metrics["accuracy"].mean == pytest.approx(
        metrics.accuracy_score(test.y, ours.argmax(1))
    )
    assert found.metrics["log_loss"].mean == pytest.approx(
        metrics.log_loss(test.y, special.softmax(ours, axis=1)), rel=1e-5
    )
    assert found.difference.max_output == pytest.approx(np.abs(ours - theirs).max(), abs=1e-6)
    assert found.difference.changed_classes == np.mean(ours.argmax(1) != theirs.argmax(1))
    assert found.difference.max_probability == pytest.approx(
        np.abs(special.softmax(ours, axis=1) - special.softmax(theirs, axis=1)).max(),
        rel=1e-4,
        abs=1e-6,
    )
    assert (found.rows, found.kind) == (len(test), "fp32" if candidate == "onnx" else "int8")
    assert (found.difference.max_output > 1e-2) is (candidate == "int8")
    assert found.notes == ()
    # One definition for the file and for the recipe's seeds
    for name, interval in found.metrics.items():
        same = rows_interval(
            metric_of(name), test.y, [special.softmax(ours, axis=1)], [interval.mean]
        )
        assert (interval.low, interval.high, interval.n) == (same.low, same.high, len(test))
    assert found.to_dict()["sha256"] == bundle.load(path).manifest.files["model.onnx"].sha256


def test_the_manifest_of_an_int8_file_has_the_parity_of_that_file(
    compressed: CompressionResult, convnet: Model, tmp_path: Path
) -> None:
    parities = {
        name: bundle.load(compressed.save(tmp_path / name, candidate=name)).manifest.parity
        for name in ("onnx", "int8")
    }

    assert parities["onnx"]["max_output_difference"] < 1e-4
    rows = convnet.prepared.validation
    ours = outputs(compressed["int8"].onnx, rows.X)
    with torch.inference_mode():
        theirs = convnet.module(torch.from_numpy(rows.X.copy())).numpy()
    assert parities["int8"]["max_output_difference"] == pytest.approx(np.abs(ours - theirs).max())
    assert (parities["int8"]["on"], parities["int8"]["rows"]) == ("validation", len(rows))


def test_a_difference_of_numbers_is_in_the_targets_unit(mlp: Model) -> None:
    reference, other = (
        np.zeros((3, 1), dtype=np.float32),
        np.array([[0.0], [0.5], [-0.25]], dtype=np.float32),
    )

    found = difference(reference, other, mlp.prepared.preparation, on="test")

    assert found.max_output == 0.5
    assert found.max_prediction == pytest.approx(0.5 * mlp.prepared.preparation.target.scale)
    assert found.changed_classes is None


def test_few_test_rows_are_told(lstm: Model, tmp_path: Path) -> None:
    small = lstm.compressed("accuracy", budget=0.1, methods=[])

    found = measure_shipped(bundle.load(small.save(tmp_path / "iris")), lstm.prepared, lstm.module)

    assert found.notes == (
        "only 30 test rows: these figures are rough, and would be others on other rows",
    )
