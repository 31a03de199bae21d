"""Reading a bundle: it predicts what training-time code predicts, and everything suspicious is
refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
import torch
from onnx import TensorProto, helper
from sklearn import datasets
from tests.bundle.conftest import Example

from winnow import bundle
from winnow.bundle import _files, _load, _manifest, _model_file
from winnow.errors import BundleError, InputError

# -- predictions -----------------------------------------------------------------------------------


def test_predictions_equal_pytorchs_on_the_same_rows(iris: Example, saved: Path) -> None:
    data = datasets.load_iris()
    rows = data.data[iris.prepared.test.index]
    expected = iris.outputs("test")

    loaded = bundle.load(saved)

    np.testing.assert_allclose(loaded.logits(rows), expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(
        loaded.predict_proba(rows), torch.softmax(expected.double(), dim=1).numpy(), atol=1e-6
    )
    assert list(loaded.predict(rows)) == list(data.target_names[expected.argmax(dim=1).numpy()])


def test_regression_answers_in_the_targets_unit(diabetes: Example, tmp_path: Path) -> None:
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    train = diabetes.prepared.train.index
    loaded = bundle.load(diabetes.save(tmp_path / "b"))
    scaled = diabetes.outputs("test").double().numpy()[:, 0]

    predicted = loaded.predict(X[diabetes.prepared.test.index])

    np.testing.assert_allclose(predicted, scaled * y[train].std() + y[train].mean(), rtol=1e-4)
    with pytest.raises(InputError, match="a number: it has no probabilities"):
        loaded.predict_proba(X[:1])


def test_every_form_of_rows_gives_the_same(saved: Path) -> None:
    loaded = bundle.load(saved)
    X = datasets.load_iris().data[::30]
    names = [column["name"] for column in loaded.schema]
    columns = {name: X[:, i].tolist() for i, name in enumerate(names)}
    records = [dict(zip(names, row, strict=True)) for row in X.tolist()]
    expected = loaded.logits(X)

    for rows in (
        X.tolist(),
        columns,
        records,
        pl.DataFrame(columns),
        pd.DataFrame(columns),
        pd.DataFrame(columns)[names[::-1]],
    ):
        np.testing.assert_array_equal(loaded.logits(rows), expected)
    np.testing.assert_array_equal(loaded.logits(records[2]), expected[2:3])
    assert loaded.predict([]).shape == (0,)
    assert loaded.predict_proba([]).shape == (0, 3)


def test_many_rows_go_through_in_pieces(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = bundle.load(saved)
    X = datasets.load_iris().data
    whole = loaded.logits(X)
    sizes: list[int] = []
    monkeypatch.setattr(_model_file, "_CHUNK_VALUES", 4 * 40)
    session = loaded._session

    class Counting:
        def run(self, names: Any, feeds: dict[str, np.ndarray]) -> Any:
            sizes.append(len(feeds["x"]))
            return session.run(names, feeds)

    pieces = _load.Bundle(loaded.path, loaded.manifest, loaded.preparation, Counting()).logits(X)  # type: ignore[arg-type]

    np.testing.assert_allclose(pieces, whole, atol=1e-6)
    assert sizes == [40, 40, 40, 30]


def test_rows_that_do_not_fit_are_refused_by_row_and_field(
    saved: Path, record: Callable[..., dict[str, Any]]
) -> None:
    wrong = record()
    name = next(iter(wrong))
    wrong[name] = "wide"
    short = record()
    del short[name]

    with pytest.raises(InputError, match="expected a number, got 'wide'") as caught:
        bundle.load(saved).predict([record(), wrong, short])

    assert {(p.setting, p.message) for p in caught.value.problems} == {
        (f"rows[1].{name}", "expected a number, got 'wide'"),
        (f"rows[2].{name}", "missing"),
    }


def test_threads_may_share_a_bundle(saved: Path) -> None:
    loaded = bundle.load(saved, threads=1)
    X = datasets.load_iris().data
    expected, found = loaded.predict_proba(X), []

    def work() -> None:
        for _ in range(20):
            found.append(loaded.predict_proba(X))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 80
    assert all(np.array_equal(f, expected) for f in found)


def test_training_can_go_on_from_the_weights(iris: Example, saved: Path) -> None:
    loaded = bundle.load(saved)

    weights = loaded.weights()

    assert loaded.recipe_yaml() == "name: example\n"
    assert weights.keys() == iris.module.state_dict().keys()
    assert all(np.array_equal(weights[k], v.numpy()) for k, v in iris.module.state_dict().items())


def test_a_bundle_describes_itself(saved: Path) -> None:
    loaded = bundle.load(saved)

    assert repr(loaded) == f"Bundle({str(saved)!r}, 3 classes, fp32, 4 columns)"
    assert json.loads(json.dumps(loaded.schema)) == list(loaded.manifest.schema)


def test_loading_and_predicting_imports_neither_torch_nor_a_pickle_reader(saved: Path) -> None:
    code = f"""
import sys
import winnow
loaded = winnow.load({str(saved)!r})
row = {{c["name"]: c["example"] for c in loaded.schema}}
print(loaded.predict([row, row]).shape, loaded.predict_proba(row).shape)
heavy = ("torch", "sklearn", "scipy", "optuna", "pandas", "sqlalchemy", "fastapi", "plotly")
print([name for name in heavy if name in sys.modules])
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(bundle.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["(2,) (1, 3)", "[]"]


def test_threads_must_be_some(saved: Path) -> None:
    with pytest.raises(ValueError, match="`threads` must be at least 1, got 0"):
        bundle.load(saved, threads=0)


def test_names_that_are_not_known_are_passed_over_and_missing_ones_have_defaults(
    saved: Path,
) -> None:
    def other(manifest: dict[str, Any]) -> None:
        manifest["mood"] = "good"  # by a version that writes more
        for name in ("verdict", "recipe_metrics", "examples", "parity"):  # by one that wrote less
            manifest.pop(name)

    rewrite(saved, other)

    found = bundle.load(saved).manifest

    assert (found.verdict, found.recipe_metrics, found.examples, found.parity) == (
        None,
        {},
        (),
        None,
    )
    assert found.files["model.onnx"].bytes == (saved / "model.onnx").stat().st_size


def test_the_manifest_is_written_again_as_it_was_read(saved: Path) -> None:
    text = (saved / "manifest.json").read_bytes()

    found = bundle.load(saved).manifest

    assert _files.to_json(found.to_dict()) == text
    assert list(json.loads(text)) == [
        "format",
        "format_version",
        "created",
        "versions",
        "name",
        "task",
        "target",
        "classes",
        "metric",
        "metrics",
        "recipe_metrics",
        "test_rows",
        "verdict",
        "schema",
        "model",
        "deployed",
        "parity",
        "compression",
        "examples",
        "files",
        "digest",
    ]


def test_a_value_of_another_type_is_told(saved: Path) -> None:
    rewrite(saved, lambda m: m.update(target=3))

    with pytest.raises(BundleError, match=r"manifest\.json: target: expected text, got 3"):
        bundle.load(saved)


# -- what is refused -------------------------------------------------------------------------------


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any], *, sign: bool = True) -> None:
    """Change the manifest, as someone would who knows how its digest is made."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    if sign:
        manifest["digest"] = _manifest.manifest_digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def replace(folder: Path, name: str, content: bytes) -> None:
    """Put another file in its place, listed and signed."""
    (folder / name).write_bytes(content)
    entry = {"bytes": len(content), "sha256": _files.digest_of(content)}
    rewrite(folder, lambda m: m["files"].update({name: entry}))


@pytest.mark.parametrize(
    "name", ["model.onnx", "weights.safetensors", "preparation.json", "recipe.yaml"]
)
@pytest.mark.parametrize("how", ["one bit", "longer"])
def test_a_file_that_was_changed_is_named(name: str, how: str, saved: Path) -> None:
    content = bytearray((saved / name).read_bytes())
    if how == "longer":
        content += b" "
    else:
        content[len(content) // 2] ^= 1
    (saved / name).write_bytes(content)

    with pytest.raises(BundleError, match=f"{name} was changed after the bundle was written"):
        bundle.load(saved)


@pytest.mark.parametrize(
    "name", ["model.onnx", "weights.safetensors", "preparation.json", "recipe.yaml"]
)
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    (saved / name).unlink()

    with pytest.raises(BundleError, match=f"{name} is missing from the bundle"):
        bundle.load(saved)


def test_a_bundle_of_a_newer_winnow_is_refused(saved: Path) -> None:
    rewrite(saved, lambda m: m.update(format_version=3), sign=False)

    with pytest.raises(
        BundleError,
        match=r"written by a newer winnow \(format 3, this one reads up to 1\): upgrade",
    ):
        bundle.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(format_version="1"),
            "expected `format_version` to be a number from 1, found '1'",
        ),
        (
            lambda m: m.update(format_version=True),
            "expected `format_version` to be a number from 1, found True",
        ),
        (lambda m: m.update(format="else"), "is not a bundle: its manifest.json does not say"),
        (lambda m: m.update(files=[]), "expected `files` to be an object, found list"),
        (lambda m: m["files"].pop("model.onnx"), "does not list model.onnx"),
        (
            lambda m: m["files"].update({"../../etc/passwd": {}}),
            r"lists '\.\./\.\./etc/passwd', which is no file of a bundle",
        ),
        (
            lambda m: m["files"].update({"/etc/passwd": {}}),
            "lists '/etc/passwd', which is no file of a bundle",
        ),
        (
            lambda m: m["files"].update({"extra.py": {}}),
            "lists 'extra.py', which is no file of a bundle",
        ),
        (
            lambda m: m["files"].update({"model.onnx": {"bytes": -1, "sha256": ""}}),
            "expected `bytes` and `sha256` for model.onnx",
        ),
        (
            lambda m: m["files"].update({"model.onnx": None}),
            "expected `bytes` and `sha256` for model.onnx, found None",
        ),
    ],
)
def test_a_manifest_that_plays_tricks_is_refused(
    change: Callable[[dict[str, Any]], Any], message: str, saved: Path
) -> None:
    rewrite(saved, change)

    with pytest.raises(BundleError, match=message):
        bundle.load(saved)


def test_a_manifest_with_prettier_metrics_is_refused(saved: Path) -> None:
    rewrite(saved, lambda m: m.update(metrics={"accuracy": 1.0}), sign=False)

    with pytest.raises(
        BundleError, match=r"manifest\.json was changed after the bundle was written"
    ):
        bundle.load(saved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "manifest.json is not valid JSON"),
        (b"\xff\xfe\x00", "manifest.json is not valid JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[" * 100_000, "manifest.json is not valid JSON"),
        (b"[]", "expected an object in manifest.json, found list"),
    ],
)
def test_a_manifest_that_is_no_json_object_is_refused(
    text: bytes, message: str, saved: Path
) -> None:
    (saved / "manifest.json").write_bytes(text)

    with pytest.raises(BundleError, match=message):
        bundle.load(saved)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(
        BundleError,
        match=r"expected the folder of a bundle or a run directory, .*nowhere does not exist",
    ):
        bundle.load(tmp_path / "nowhere")
    with pytest.raises(
        BundleError, match=r"expected the folder of a bundle or a run directory, .*file is a file"
    ):
        bundle.load(tmp_path / "file")
    with pytest.raises(BundleError, match=r"is not a bundle: it has no manifest\.json"):
        bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "weights.safetensors"])
def test_links_are_not_followed(name: str, saved: Path, tmp_path: Path) -> None:
    (saved / name).rename(tmp_path / "elsewhere")
    (saved / name).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleError, match=f"{name} is a link; a bundle holds plain files only"):
        bundle.load(saved)


def test_a_pipe_is_refused_without_waiting_for_it(saved: Path) -> None:
    (saved / "model.onnx").unlink()
    os.mkfifo(saved / "model.onnx")

    with pytest.raises(BundleError, match=r"model\.onnx is not a plain file"):
        bundle.load(saved)


def test_files_of_an_insane_size_are_not_read(saved: Path) -> None:
    with open(saved / "manifest.json", "ab") as file:
        file.truncate(20 * 2**20)  # sparse

    with pytest.raises(
        BundleError, match=r"manifest\.json has 20,971,520 bytes, at most 16,777,216 are read"
    ):
        bundle.load(saved)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "preparation.json: not a preparation"),
        (b"[1]", "expected an object in preparation.json"),
        (b'{"format": 99}', "preparation.json: this preparation has format 99"),
    ],
)
def test_a_preparation_that_is_none_is_refused(content: bytes, message: str, saved: Path) -> None:
    replace(saved, "preparation.json", content)

    with pytest.raises(BundleError, match=message):
        bundle.load(saved)


def test_a_model_for_other_data_is_refused(saved: Path, diabetes: Example) -> None:
    replace(saved, "model.onnx", diabetes.onnx)

    with pytest.raises(
        BundleError,
        match=r"model\.onnx: expected the inputs x \(batch, 4\) tensor\(float\), found x "
        r"\(batch, 10\)",
    ):
        bundle.load(saved)


def linear(width: int, out: int, *, name: str = "x") -> onnx.ModelProto:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [width, out], [0.0] * (width * out))
    graph = helper.make_graph(
        [helper.make_node("MatMul", [name, "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", out])],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_model_with_other_outputs_or_inputs_is_refused(saved: Path) -> None:
    replace(saved, "model.onnx", linear(4, 2).SerializeToString())
    with pytest.raises(BundleError, match=r"model\.onnx: expected 3 outputs for each row, found 2"):
        bundle.load(saved)

    replace(saved, "model.onnx", linear(4, 3, name="input").SerializeToString())
    with pytest.raises(BundleError, match=r"expected the inputs x .*, found input"):
        bundle.load(saved)


def external(tensor: onnx.TensorProto) -> None:
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"


def in_an_initializer(model: onnx.ModelProto) -> None:
    external(model.graph.initializer[0])


def in_an_attribute(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("c", TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))


def in_a_branch(model: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("b", TensorProto.FLOAT, [1], [0.0])
    external(tensor)
    inner = helper.make_graph([], "then", [], [], [tensor])
    model.graph.node.append(
        helper.make_node("If", ["w"], ["z"], then_branch=inner, else_branch=inner)
    )


@pytest.mark.parametrize("where", [in_an_initializer, in_an_attribute, in_a_branch])
def test_a_model_that_points_to_other_files_is_refused(
    where: Callable[[onnx.ModelProto], None], saved: Path, iris: Example, tmp_path: Path
) -> None:
    model = linear(4, 3)
    where(model)
    message = (
        r"model\.onnx keeps the tensor '\w' in another file \('\.\./\.\./etc/passwd'\); it must "
        r"be inside"
    )

    replace(saved, "model.onnx", model.SerializeToString())
    with pytest.raises(BundleError, match=message):
        bundle.load(saved)
    with pytest.raises(BundleError, match=message):
        iris.save(tmp_path / "new", onnx=model.SerializeToString())


def test_what_is_no_onnx_model_is_refused(saved: Path) -> None:
    replace(saved, "model.onnx", b"\x80\x04 surely no protobuf")
    with pytest.raises(BundleError, match=r"model\.onnx is not an ONNX model"):
        bundle.load(saved)

    model = linear(4, 3)
    model.graph.node[0].op_type = "NoSuchOperator"
    replace(saved, "model.onnx", model.SerializeToString())
    with pytest.raises(
        BundleError, match=r"ONNX Runtime cannot open model\.onnx: .*NoSuchOperator"
    ):
        bundle.load(saved)
