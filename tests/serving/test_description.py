"""What the server says of itself: health, schema, OpenAPI and the page about the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from tests.serving.doubles import GOOD, MIXED, Client, LinearBundle, mixed, price

from winnow.serving import create_app


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(create_app(mixed()))


def test_health(client: Client) -> None:
    first, second = client.get("/health").json(), client.get("/health").json()

    assert first["status"] == "ready"
    assert first["model"]["name"] == "incomes"
    assert first["model"]["task"] == "classification"
    assert first["model"]["format"] == 1
    assert second["uptime_seconds"] >= first["uptime_seconds"] >= 0


def test_the_digest_changes_with_the_manifest() -> None:
    def digest(**manifest: Any) -> str:
        return (
            Client(create_app(LinearBundle(MIXED, **manifest)))
            .get("/health")
            .json()["model"]["digest"]
        )

    assert digest() == digest()
    assert digest() != digest(files={"model.onnx": {"bytes": 3, "sha256": "abc"}})
    assert digest(digest="0123456789abcdef0123") == "0123456789abcdef"


def test_schema(client: Client) -> None:
    schema = client.get("/schema").json()

    assert schema["task"] == "classification"
    assert schema["classes"] == ["low", "middle", "high"]
    assert schema["limits"] == {"body_bytes": 2**20, "rows": 1000, "text_length": 1000}
    age, net, color, member, _ = schema["fields"]
    assert age == {
        "name": "age",
        "kind": "number",
        "missing_allowed": False,
        "minimum": 17,
        "maximum": 90,
        "typical": 37,
        "example": 42,
    }
    assert net["missing_allowed"]
    assert color["categories"] == ["red", "it's <b>blue</b>"]
    assert member["kind"] == "boolean"


def test_values_are_shown_to_six_digits() -> None:
    schema = [
        {
            "name": "x",
            "kind": "number",
            "minimum": 5.099999904632568,
            "maximum": 7.0,
            "typical": float("nan"),
        }
    ]

    (field,) = Client(create_app(LinearBundle(schema))).get("/schema").json()["fields"]

    assert (field["minimum"], field["maximum"], field["typical"]) == (5.1, 7, None)


# -- OpenAPI ---------------------------------------------------------------------------------------


def follow(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference points to."""
    while "$ref" in node:
        found: Any = document
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


def row_schema(document: dict[str, Any]) -> dict[str, Any]:
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return follow(document, follow(document, body)["properties"]["rows"]["items"])


def test_openapi_is_openapi(client: Client) -> None:
    document = client.get("/openapi.json").json()

    OpenAPI.model_validate(document)  # FastAPI's own model of the standard
    assert set(document["paths"]) == {"/predict", "/health", "/model", "/schema"}
    references = set(re.findall(r'"\$ref":"([^"]+)"', client.get("/openapi.json").text))
    assert references
    for reference in references:
        follow(document, {"$ref": reference})


def test_openapi_holds_the_real_input_schema(client: Client) -> None:
    row = row_schema(client.get("/openapi.json").json())

    assert row["additionalProperties"] is False
    assert row["required"] == list(row["properties"]) == [column["name"] for column in MIXED]
    assert row["properties"]["age"]["type"] == "number"
    assert row["properties"]["age"]["description"] == "a number; 17 to 90 in training, typically 37"
    assert row["properties"]["age"]["examples"] == [42]
    assert row["properties"]["color"]["type"] == "string"
    assert row["properties"]["color"]["maxLength"] == 1000
    assert row["properties"]["color"]["examples"] == ["red", "it's <b>blue</b>"]
    assert row["properties"]["member"]["type"] == "boolean"
    assert [kind["type"] for kind in row["properties"]["net (EUR)"]["anyOf"]] == ["number", "null"]


def test_the_examples_of_openapi_are_taken(client: Client) -> None:
    document = client.get("/openapi.json").json()
    body = follow(
        document,
        document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ],
    )

    for example in body["examples"]:
        assert client.post("/predict", json=example).status_code == 200
    assert client.predict(*row_schema(document)["examples"]).status_code == 200


def test_openapi_describes_the_answers(client: Client) -> None:
    document = client.get("/openapi.json").json()
    answers = document["paths"]["/predict"]["post"]["responses"]

    assert {"200", "400", "408", "413", "415", "422", "500"} == set(answers)
    good = follow(document, answers["200"]["content"]["application/json"]["schema"])
    assert set(good["properties"]) == set(client.predict(GOOD).json())
    assert "low, middle, high" in good["properties"]["predictions"]["description"]
    bad = follow(document, answers["422"]["content"]["application/json"]["schema"])
    assert set(bad["properties"]) == {"error"}


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"kind": "number", "format": "date"}, {"type": "string", "format": "date"}),
        ({"kind": "array", "shape": [2, 3]}, {"type": "array", "minItems": 2, "maxItems": 2}),
        (
            {"kind": "category", "format": "code", "categories": ["1"]},
            {"anyOf": [{"type": "string", "maxLength": 1000}, {"type": "integer"}]},
        ),
    ],
    ids=["date", "array", "code"],
)
def test_openapi_of_the_rarer_kinds(column: dict[str, Any], expected: dict[str, Any]) -> None:
    document = (
        Client(create_app(LinearBundle([{"name": "it", **column}]))).get("/openapi.json").json()
    )

    found = row_schema(document)["properties"]["it"]

    assert {key: found[key] for key in expected} == expected


def test_large_arrays_have_no_example() -> None:
    app = Client(
        create_app(
            LinearBundle(
                [{"name": "it", "kind": "array", "shape": [3, 64, 64], "minimum": 0, "maximum": 1}]
            )
        )
    )

    assert len(app.get("/openapi.json").content) < 10_000
    assert len(app.get("/docs").content) < 40_000


def test_docs_page_needs_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/docs").text

    assert "it&#39;s &lt;b&gt;blue&lt;/b&gt;" in page
    assert "curl -s http://127.0.0.1/predict" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert Client(create_app(price())).get("/docs").status_code == 200
