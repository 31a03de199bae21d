"""Good requests: what comes back is what the predictor gives, in plain JSON."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.special import softmax
from tests.serving.doubles import GOOD, Client, LinearBundle, mixed, price, served

from winnow.bundle import Answer, Manifest
from winnow.serving import create_app


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(create_app(mixed()))


def test_probabilities_are_the_softmax_of_the_outputs(client: Client) -> None:
    coded = np.array([[42, 0.0, 0, 0, 1], [20, 15.5, 1, 1, 0]])
    rows = [
        GOOD,
        {
            **GOOD,
            "age": 20,
            "net (EUR)": 15.5,
            "color": "it's <b>blue</b>",
            "member": True,
            "model_config": False,
        },
    ]
    expected = softmax(coded @ mixed().weights, axis=1)

    reply = client.predict(*rows)

    assert reply.status_code == 200
    answer = reply.json()
    found = np.array([[p[c] for c in ("low", "middle", "high")] for p in answer["probabilities"]])
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert answer["predictions"] == [["low", "middle", "high"][i] for i in expected.argmax(axis=1)]
    assert answer["model"]["name"] == "incomes"
    assert len(answer["model"]["digest"]) == 16


def test_regression_answers_numbers_and_no_probabilities() -> None:
    answer = (
        Client(create_app(price()))
        .predict({"area": 10, "color": "red"}, {"area": 0.5, "color": "it's <b>blue</b>"})
        .json()
    )

    assert answer["predictions"] == [1000.25 + 35.0, 1000.25 + 1.75 + 10.0]
    assert answer["probabilities"] is None


def test_a_category_that_training_did_not_see_is_allowed_and_told(client: Client) -> None:
    reply = client.predict({**GOOD, "color": "grün \U0001f600"}, GOOD)

    assert reply.status_code == 200
    message = "'grün \U0001f600' was not in the training rows"
    assert reply.json()["warnings"] == [[{"field": "color", "message": message}], []]


def test_an_answer_takes_one_pass_of_the_model() -> None:
    class Counting(LinearBundle):
        passes = 0

        def _outputs(self, rows: Any) -> np.ndarray:
            self.passes += 1
            return super()._outputs(rows)

    bundle = Counting(mixed().schema, classes=["a", "b"])

    assert Client(create_app(bundle)).predict(GOOD, GOOD).status_code == 200
    assert bundle.passes == 1


def test_null_stands_for_unknown_where_that_is_allowed(client: Client) -> None:
    assert client.predict({**GOOD, "net (EUR)": None, "model_config": None}).status_code == 200


def test_as_many_rows_as_are_allowed() -> None:
    app = Client(create_app(mixed(), max_rows=3))

    assert len(app.predict(GOOD, GOOD, GOOD).json()["predictions"]) == 3


def test_labels_keep_their_type() -> None:
    schema = [{"name": "x", "kind": "number", "minimum": 0.0, "maximum": 1.0, "typical": 0.5}]
    bundle = LinearBundle(schema, classes=[3, 8], weights=np.array([[1.0, -1.0]]))

    answer = Client(create_app(bundle)).predict({"x": 1}, {"x": -1}).json()

    assert answer["predictions"] == [3, 8]
    assert list(answer["probabilities"][0]) == ["3", "8"]


class Recorder:
    """A predictor that keeps the rows it was given."""

    task, classes, manifest = "regression", None, Manifest(name="recorder")

    def __init__(self, *schema: dict[str, Any]) -> None:
        self.schema, self.rows = schema, []

    def answer(self, rows: Any, /) -> Answer:
        self.rows = rows
        return Answer(np.zeros(len(rows)), None, [[] for _ in rows])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (
            {"kind": "number", "format": "date"},
            ["2024-05-01", "2024-05-01T12:30:00", "2024-05-01T12:30:00+02:00"],
        ),
        ({"kind": "category", "format": "code", "categories": ["1", "2"]}, [1, "1", 7]),
        ({"kind": "category", "categories": [1.5, True, "x"]}, [1.5, True, "x"]),
        (
            {"kind": "array", "shape": [1, 2, 2], "minimum": 0.0, "maximum": 1.0},
            [[[[0, 0.5], [1, 0.25]]]],
        ),
        ({"kind": "number"}, [0, -0.0, 1e30, 2**70]),
        ({"kind": "boolean"}, [True, False]),
    ],
    ids=["date", "code", "mixed categories", "array", "number", "boolean"],
)
def test_every_kind_of_value_reaches_the_predictor(
    column: dict[str, Any], values: list[Any]
) -> None:
    recorder = Recorder({"name": "it", **column})

    reply = Client(create_app(recorder)).predict(*[{"it": v} for v in values])

    assert reply.status_code == 200, reply.text
    assert recorder.rows == [{"it": v} for v in values]


@pytest.mark.parametrize(
    "name", ["", " ", "f0", "model_config", "__proto__", "a.b[0]", "名", "self", "rows"]
)
def test_a_column_may_have_any_name(name: str) -> None:
    recorder = Recorder({"name": name, "kind": "number"})
    app = Client(create_app(recorder))

    assert app.predict({name: 1}).is_success
    assert app.get("/openapi.json").is_success
    assert app.get("/").is_success
    assert app.get("/docs").is_success
    assert recorder.rows == [{name: 1}]


def test_wide_rows_raise_the_limit_of_the_body() -> None:
    recorder = Recorder(
        {"name": "image", "kind": "array", "shape": [3, 160, 160], "minimum": 0.0, "maximum": 1.0}
    )
    pixels = np.random.default_rng(0).random((3, 160, 160)).tolist()  # 1.5 MB as JSON

    assert Client(create_app(recorder)).predict({"image": pixels}).status_code == 200
    assert (
        Client(create_app(recorder, max_body_bytes=2**20)).predict({"image": pixels}).status_code
        == 413
    )


def test_health_answers_while_a_prediction_runs() -> None:
    started, finish = threading.Event(), threading.Event()

    class Slow(LinearBundle):
        def answer(self, rows: Any, /) -> Answer:
            started.set()
            assert finish.wait(20)
            return super().answer(rows)

    bundle = mixed()
    slow = Slow(bundle.schema, classes=bundle.classes)
    with served(create_app(slow)) as url, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{url}/predict", json={"rows": [GOOD]}, timeout=30)
        try:
            assert started.wait(20)
            health = httpx.get(f"{url}/health", timeout=10)
            assert not asked.done()
        finally:
            finish.set()
        assert health.json()["status"] == "ready"
        assert asked.result(30).status_code == 200
