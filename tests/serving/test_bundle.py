"""Real bundles behind the server: what HTTP answers is what the bundle says."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.serving.doubles import Client

import winnow
from winnow import bundle
from winnow.data import PreparedData, prepare
from winnow.errors import BundleError
from winnow.recipe import Data
from winnow.serving import create_app


def linear(shape: tuple[int, ...], outputs: int) -> bytes:
    """An ONNX model: flatten, then one random linear layer."""
    weights = (
        np.random.default_rng(0).normal(size=(int(np.prod(shape)), outputs)).astype(np.float32)
    )
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def saved(path: Path, prepared: PreparedData, **more: Any) -> Path:
    model = linear(prepared.in_shape, prepared.out_features)
    return bundle.save(path, onnx=model, kind="fp32", preparation=prepared.preparation, **more)


def people(n: int = 200) -> pl.DataFrame:
    """Numbers with gaps, texts with gaps, whole numbers, booleans and dates."""
    random = np.random.default_rng(0)
    age = [None if random.random() < 0.1 else float(v) for v in random.normal(40, 10, n)]
    return pl.DataFrame(
        {
            "age": age,
            "children": random.integers(0, 5, n),
            "town": [
                None if v == 3 else ["Oslo", "Łódź", "Kyōto", "-"][v]
                for v in random.integers(0, 4, n)
            ],
            "member": random.random(n) < 0.5,
            "joined": [
                dt.date(2020, 1, 1) + dt.timedelta(days=int(v)) for v in random.integers(0, 900, n)
            ],
            "kind": [["good", "better", "best"][v] for v in random.integers(0, 3, n)],
        }
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prepared = prepare(Data.frame(people(), "kind"))
    return saved(
        tmp_path_factory.mktemp("serve") / "people.winnow",
        prepared,
        metrics={"accuracy": {"mean": 0.5, "low": 0.4, "high": 0.6}},
    )


def test_a_table_with_everything(table: Path) -> None:
    loaded, client = winnow.load(table), Client(create_app(table))
    rows = json.loads(people(20).drop("kind").write_json())
    assert {None} < {row["age"] for row in rows}

    answer = client.predict(*rows).json()

    assert answer["predictions"] == loaded.predict(rows).tolist()
    found = [[p[c] for c in loaded.classes or ()] for p in answer["probabilities"]]
    np.testing.assert_allclose(found, loaded.predict_proba(rows), rtol=1e-8)
    assert answer["model"] == {
        "name": "people",
        "task": "classification",
        "format": loaded.manifest.format_version,
        "digest": loaded.manifest.digest[:16],
    }


def test_the_schemas_own_examples_are_taken(table: Path) -> None:
    client = Client(create_app(table))
    fields = client.get("/schema").json()["fields"]

    for what in ("example", "typical"):
        assert client.predict({f["name"]: f[what] for f in fields}).status_code == 200
    assert client.get("/").status_code == 200
    assert client.get("/docs").status_code == 200
    assert client.get("/openapi.json").status_code == 200


def test_mistakes_in_a_table(table: Path) -> None:
    client = Client(create_app(table))
    row = {f["name"]: f["example"] for f in client.get("/schema").json()["fields"]}

    error = client.predict(
        {**row, "age": "x", "joined": "soon", "member": "no", "town": 4, "more": 1}
    ).json()["error"]

    assert [(p["field"], p["message"].partition(";")[0]) for p in error["problems"]] == [
        ("age", "expected a number or null, got 'x'"),
        ("town", "expected text or null, got 4"),
        ("member", "expected true, false or null, got 'no'"),
        ("joined", "expected a date such as 2024-05-01 or null, got 'soon'"),
        ("more", "not a field of this model"),
    ]


def test_numbers_to_a_number(tmp_path: Path) -> None:
    loaded = winnow.load(
        saved(tmp_path / "diabetes.winnow", prepare(Data(source="sklearn:diabetes")))
    )
    client = Client(create_app(loaded))
    row = {column["name"]: column["typical"] for column in loaded.schema}

    answer = client.predict(row).json()

    np.testing.assert_allclose(answer["predictions"], loaded.predict([row]), rtol=1e-12)
    assert answer["probabilities"] is None
    assert answer["model"]["name"] == "diabetes"


@pytest.mark.parametrize("shape", [None, (1, 8, 8)])
def test_digits_can_be_drawn(tmp_path: Path, shape: tuple[int, ...] | None) -> None:
    loaded = winnow.load(
        saved(tmp_path / "digits.winnow", prepare(Data(source="sklearn:digits", shape=shape)))
    )
    client = Client(create_app(loaded))
    row = {column["name"]: column["example"] for column in loaded.schema}

    answer = client.predict(row).json()

    assert answer["predictions"] == loaded.predict([row]).tolist()
    assert set(answer["probabilities"][0]) == set(map(str, range(10)))
    assert 'id="canvas"' in client.get("/").text


def test_rows_that_are_arrays(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X, y = random.random((90, 1, 6, 5)), np.arange(90) % 3
    loaded = winnow.load(saved(tmp_path / "images.winnow", prepare(Data.arrays(X, y))))
    client = Client(create_app(loaded))
    name = loaded.schema[0]["name"]

    answer = client.predict(*[{name: image.tolist()} for image in X[:7]]).json()

    assert answer["predictions"] == loaded.predict(X[:7]).tolist()
    assert 'id="canvas"' in client.get("/").text
    wrong = client.predict({name: [[[0.0]]]})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["problems"][0]["field"] == name


def test_values_that_are_too_large_after_scaling_name_their_field(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 2)) * [1.0, 1e-6]
    loaded = winnow.load(
        saved(tmp_path / "small.winnow", prepare(Data.arrays(X, np.arange(60) % 2)))
    )
    names = [column["name"] for column in loaded.schema]

    reply = Client(create_app(loaded)).predict(
        dict.fromkeys(names, 0.0), {names[0]: 0.0, names[1]: 1e35}
    )

    assert reply.status_code == 422
    problem = reply.json()["error"]["problems"][0]
    assert (problem["row"], problem["field"]) == (1, names[1])


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.winnow"):
        create_app(tmp_path / "nothing.winnow")


def test_what_was_written_in_training_is_taken_beside_plain_values(tmp_path: Path) -> None:
    lines = [
        f'"${1000 + 75.5 * i:,.2f}",{1 + i % 28:02d}/02/2024,{"ab"[i % 2]}\n' for i in range(60)
    ]
    (tmp_path / "sales.csv").write_text("price,day,kind\n" + "".join(lines))
    prepared = prepare(Data(source=str(tmp_path / "sales.csv"), target="kind"))
    client = Client(create_app(saved(tmp_path / "sales.winnow", prepared)))

    plain, written, odd = (
        {"price": p, "day": d}
        for p, d in ((1200, "2024-02-15"), ("$1,200", "15/02/2024"), ("€1.200", "02/15/2024"))
    )
    answer = client.predict(plain, written).json()

    assert answer["predictions"][0] == answer["predictions"][1]
    assert answer["probabilities"][0] == answer["probabilities"][1]
    refused = client.predict(odd)
    assert refused.status_code == 422
    told = {p["field"]: p["message"] for p in refused.json()["error"]["problems"]}
    assert told["price"].startswith("expected a number such as $")
    assert told["day"].startswith("expected a date such as ")
    assert "02/2024" in told["day"]
    assert client.predict({"price": True, "day": "2024-02-15"}).status_code == 422
