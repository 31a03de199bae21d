"""Bad requests: each is answered with a 4xx that names the mistake, in one shape, and the
server stays up.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from tests.serving.doubles import GOOD, MIXED, Client, LinearBundle, mixed, served

from winnow.bundle import Answer
from winnow.errors import InputError, Problem
from winnow.serving import create_app
from winnow.serving._errors import RefusalError
from winnow.serving._fields import read_fields, row_model
from winnow.serving._protocol import Limits
from winnow.serving._request import check_rows, parse_rows, read_body

JSON = {"Content-Type": "application/json"}


def text(**changes: Any) -> str:
    """One good row with changes; a value of ``...`` takes the field out."""
    return json.dumps({"rows": [{k: v for k, v in {**GOOD, **changes}.items() if v is not ...}]})


def raw(field: str, literal: str) -> str:
    """One good row in which ``field`` is this very JSON text."""
    return text(**{field: "@@"}).replace('"@@"', literal)


HUGE_TEXT = "x" * 1001
AGE = (0, "age")
HOSTILE: dict[str, tuple[str | bytes, int, tuple[int | None, str | None] | None, str]] = {
    # name: body, status, place of the first problem, words of the message
    "missing": (text(age=...), 422, AGE, "missing; expected a number"),
    "missing though null is allowed": (
        text(**{"net (EUR)": ...}),
        422,
        (0, "net (EUR)"),
        "missing; expected a number or null",
    ),
    "extra": (text(weight=1), 422, (0, "weight"), "not a field of this model"),
    "misspelt": (text(age=..., aeg=42), 422, AGE, "missing"),
    "text for a number": (text(age="old"), 422, AGE, "expected a number, got 'old'"),
    "number as text": (text(age="42"), 422, AGE, "expected a number, got '42'"),
    "boolean for a number": (text(age=True), 422, AGE, "expected a number, got true"),
    "null for a number": (text(age=None), 422, AGE, "expected a number, got null"),
    "list for a number": (text(age=[1]), 422, AGE, "expected a number, got a list"),
    "object for a number": (text(age={"a": 1}), 422, AGE, "expected a number, got an object"),
    "number for a text": (text(color=5), 422, (0, "color"), "expected text, got 5"),
    "null for a text": (text(color=None), 422, (0, "color"), "expected text, got null"),
    "number for a boolean": (text(member=1), 422, (0, "member"), "expected true or false, got 1"),
    "text for a boolean": (
        text(member="true"),
        422,
        (0, "member"),
        "expected true or false, got 'true'",
    ),
    "NaN": (raw("age", "NaN"), 422, AGE, "expected a finite number, got nan"),
    "Infinity": (raw("age", "Infinity"), 422, AGE, "expected a finite number, got inf"),
    "-Infinity": (raw("age", "-Infinity"), 422, AGE, "expected a finite number, got -inf"),
    "number that overflows": (raw("age", "1e999"), 422, AGE, "expected a finite number, got inf"),
    "number beyond float32": (
        raw("age", "1e39"),
        422,
        AGE,
        r"expected a number between -3\.4e38 and 3\.4e38, got 1e\+39",
    ),
    "integer of 400 digits": (
        raw("age", "9" * 400),
        422,
        AGE,
        r"between -3\.4e38 and 3\.4e38, got 9{50}\.\.\. \(400 char",
    ),
    "integer of 5000 digits": (raw("age", "9" * 5000), 400, None, "a number has too many digits"),
    "text too long": (
        text(color=HUGE_TEXT),
        422,
        (0, "color"),
        "expected at most 1,000 characters, got 1,001",
    ),
    "lone surrogate": (raw("color", r'"\ud800"'), 422, (0, "color"), "lone surrogate"),
    "lone surrogate as a name": (
        r'{"rows": [{"age": 1, "\ud800": 1}]}',
        422,
        (0, "\ud800"),
        "holds a lone surrogate",
    ),
    "row is a list": ('{"rows": [[1, 2]]}', 422, (0, None), "expected an object .*, got a list"),
    "row is null": ('{"rows": [null]}', 422, (0, None), "expected an object .*, got null"),
    "row is empty": ('{"rows": [{}]}', 422, AGE, "missing"),
    "no rows": ('{"rows": []}', 422, (None, "rows"), "expected at least one row"),
    "rows is an object": ('{"rows": {}}', 422, (None, "rows"), "got an object under `rows`"),
    "rows misspelt": (
        '{"row": []}',
        422,
        (None, "rows"),
        "got the keys 'row' - did you mean 'rows'",
    ),
    "keys beside rows": ('{"rows": [{}], "admin": 1}', 422, (None, "admin"), "got also 'admin'"),
    "a bare row": (json.dumps(GOOD), 422, (None, "rows"), "expected .*rows"),
    "a list": ("[1]", 422, None, "expected .*rows.*, got a list"),
    "a number": ("1", 422, None, "expected .*rows.*, got 1"),
    "null": ("null", 422, None, "expected .*rows.*, got null"),
    "empty": ("", 400, None, "got an empty body"),
    "white space": (" \n ", 400, None, "got an empty body"),
    "cut off": ('{"rows": [{', 400, None, r"not valid JSON: .* at line 1 column 12"),
    "single quotes": ("{'rows': []}", 400, None, "not valid JSON"),
    "trailing words": ('{"rows": []} x', 400, None, "not valid JSON: extra data"),
    "pickle": (b"\x80\x04\x95\x00\x00\x00.", 400, None, "the byte at position 0 is not UTF-8"),
    "byte order mark": ("\ufeff" + text(), 400, None, "not valid JSON"),
    "UTF-16": (text().encode("utf-16"), 400, None, "not UTF-8"),
    "NUL bytes": (b"\x00" * 100, 400, None, "not valid JSON"),
    "lists nested too deep": ("[" * 100_000, 400, None, "nested too deep"),
    "objects nested too deep": ('{"a":' * 100_000, 400, None, "nested too deep"),
    "deep value": (raw("age", "[" * 500 + "]" * 500), 422, AGE, "expected a number, got a list"),
    "the same field twice": (
        '{"rows": [{"age": 1, "age": 2}]}',
        400,
        (None, "age"),
        "'age' is given twice",
    ),
    "too many rows": (
        json.dumps({"rows": [{}] * 1001}),
        413,
        (None, "rows"),
        "at most 1,000 rows in one request, got 1,001",
    ),
    "too many bytes": (text(color="x" * 2**20), 413, None, "the body may hold 1,048,576 bytes"),
}


@pytest.fixture(scope="module")
def client() -> Client:
    return Client(create_app(mixed()))


def check_shape(reply: httpx.Response) -> dict[str, Any]:
    """The one shape of errors; nothing of Python's inside is told."""
    assert reply.headers["content-type"] == "application/json"
    assert not re.search(r"Traceback|File \"|\.py|pydantic|starlette", reply.text)
    content = reply.json()
    assert list(content) == ["error"]
    assert list(content["error"]) == ["message", "problems"]
    assert all(list(p) == ["row", "field", "message"] for p in content["error"]["problems"])
    return content["error"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies(client: Client, name: str) -> None:
    body, status, place, words = HOSTILE[name]

    reply = client.post("/predict", content=body, headers=JSON)

    assert reply.status_code == status
    error = check_shape(reply)
    assert re.search(words, error["message"]), error["message"]
    assert (bool(error["problems"]) if place else error["problems"] == []) or status == 422
    if place:
        assert (error["problems"][0]["row"], error["problems"][0]["field"]) == place
    assert client.predict(GOOD).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "words"),
    [
        ("GET", "/predict", JSON, 405, "GET /predict: this address takes POST"),
        ("DELETE", "/health", {}, 405, "this address takes GET"),
        ("POST", "/", JSON, 405, "this address takes GET"),
        ("GET", "/nothing", {}, 404, "nothing here: GET /nothing; try POST /predict"),
        ("POST", "/predict/", JSON, 404, "nothing here"),
        ("GET", "/../../etc/passwd", {}, 404, "nothing here"),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", {}, 404, "nothing here"),
        ("GET", "/templates/page.html", {}, 404, "nothing here"),
        (
            "POST",
            "/predict",
            {},
            415,
            "expected the header `Content-Type: application/json`, got none",
        ),
        ("POST", "/predict", {"Content-Type": "text/plain"}, 415, "got 'text/plain'"),
        (
            "POST",
            "/predict",
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "expected the header",
        ),
        (
            "POST",
            "/predict",
            {"Content-Type": "application/json; charset=latin-1"},
            415,
            "expected JSON in UTF-8",
        ),
        (
            "POST",
            "/predict",
            {**JSON, "Content-Encoding": "gzip"},
            415,
            "not compressed, got Content-Encoding 'gzip'",
        ),
        ("POST", "/predict", {**JSON, "Content-Length": "9" * 30}, 413, "the body may hold"),
    ],
)
def test_hostile_requests(
    client: Client, method: str, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    reply = client.request(method, path, content=text().encode(), headers=headers)

    assert reply.status_code == status
    assert words in check_shape(reply)["message"]
    assert client.predict(GOOD).status_code == 200


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", 'APPLICATION/JSON; charset="UTF-8"']
)
def test_spellings_of_json_are_taken(client: Client, kind: str) -> None:
    assert (
        client.post("/predict", content=text(), headers={"Content-Type": kind}).status_code == 200
    )


def test_every_mistake_is_named_with_its_row(client: Client) -> None:
    rows = [
        GOOD,
        {**GOOD, "age": "old", "color": 1},
        "x",
        {**{k: v for k, v in GOOD.items() if k != "member"}, "membre": True},
    ]

    error = check_shape(client.predict(*rows))

    assert error["problems"] == [
        {"row": 1, "field": "age", "message": "expected a number, got 'old'"},
        {"row": 1, "field": "color", "message": "expected text, got 1"},
        {"row": 2, "field": None, "message": "expected an object {field: value, ...}, got text"},
        {"row": 3, "field": "member", "message": "missing; expected true or false"},
        {
            "row": 3,
            "field": "membre",
            "message": "not a field of this model - did you mean 'member'?",
        },
    ]
    assert (
        error["message"]
        == "5 problems in the input; the first: row 1: age: expected a number, got 'old'"
    )


def test_the_list_of_mistakes_ends(client: Client) -> None:
    error = check_shape(client.predict(*[{"age": "x"}] * 1000))

    assert len(error["problems"]) == 100
    assert "of which the first 100 are listed" in error["message"]


@pytest.mark.parametrize(
    "row", [{"k" * 900_000: 1}, {f"{i}": i for i in range(60_000)}], ids=["long name", "many names"]
)
def test_what_is_sent_back_stays_small(client: Client, row: dict[str, Any]) -> None:
    reply = client.predict(row)

    assert reply.status_code == 422
    assert len(reply.content) < 20_000
    check_shape(reply)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[[0, 1]]], "expected numbers in nested lists of shape 1 x 2 x 2, got 1 values at [0]"),
        (
            [[[0, 1], [2, "x"]]],
            "expected numbers in nested lists of shape 1 x 2 x 2, got 'x' at [0][1][1]",
        ),
        ([[[0, 1], [2, float("nan")]]], "expected a finite number, got nan at [0][1][1]"),
        (
            [[[0, 1], [2, 1e39]]],
            "expected a number between -3.4e38 and 3.4e38, got 1e+39 at [0][1][1]",
        ),
        (
            [[[0, 1], [2, 3, 4]]],
            "expected numbers in nested lists of shape 1 x 2 x 2, got 3 values at [0][1]",
        ),
        ([0, 1, 2, 3], "expected numbers in nested lists of shape 1 x 2 x 2, got 4 values"),
        (5, "expected numbers in nested lists of shape 1 x 2 x 2, got 5"),
    ],
)
def test_arrays_name_the_place(value: Any, message: str) -> None:
    schema = [
        {"name": "image", "kind": "array", "shape": [1, 2, 2], "minimum": 0.0, "maximum": 1.0}
    ]
    client = Client(create_app(LinearBundle(schema)))

    reply = client.post("/predict", content=json.dumps({"rows": [{"image": value}]}), headers=JSON)

    assert reply.status_code == 422
    assert check_shape(reply)["problems"][0] == {"row": 0, "field": "image", "message": message}


@pytest.mark.parametrize(
    "value", ["May 1st", "", "2024-13-01", "0001-01-01T00:00:00+23:59", 19_000]
)
def test_what_is_no_date(value: Any) -> None:
    client = Client(create_app(LinearBundle([{"name": "day", "kind": "number", "format": "date"}])))

    error = check_shape(client.predict({"day": value}))

    assert error["problems"] == [
        {"row": 0, "field": "day", "message": f"expected a date such as 2024-05-01, got {value!r}"}
    ]


NAMES = st.text(max_size=3) | st.sampled_from([*GOOD, "rows"])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
NEARLY_GOOD = st.fixed_dictionaries(
    {name: st.just(value) | ANY_JSON for name, value in GOOD.items()}
)
FIELDS = read_fields(MIXED)
ROW = row_model(FIELDS, max_text_length=1000)


def read(body: bytes) -> list[Any]:
    """What the server does with a body before it asks the model."""
    return check_rows(parse_rows(body, Limits()), ROW, FIELDS, Limits())


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(ANY_JSON | st.fixed_dictionaries({"rows": st.lists(NEARLY_GOOD, max_size=3)}))
def test_any_json_is_taken_or_refused(value: Any) -> None:
    # Whatever else were raised would be answered as a failure of the server
    with contextlib.suppress(RefusalError):
        mixed().answer(read(json.dumps(value).encode()))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_refused(body: bytes) -> None:
    with pytest.raises(RefusalError):
        read(body)


# -- mistakes that only the model finds ------------------------------------------------------------


def test_an_answer_that_is_not_finite_is_refused() -> None:
    schema = [{"name": "x", "kind": "number"}]
    client = Client(create_app(LinearBundle(schema, weights=np.array([[1e300]]))))

    reply = client.predict({"x": 1}, {"x": 1e30})

    assert reply.status_code == 422
    assert check_shape(reply)["problems"][0]["row"] == 1
    assert "no finite answer" in reply.json()["error"]["message"]


class Failing(LinearBundle):
    """A predictor that refuses, or breaks."""

    def __init__(self, error: Exception) -> None:
        super().__init__([{"name": "x", "kind": "number"}])
        self.error = error

    def answer(self, rows: Any, /) -> Answer:
        raise self.error


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("rows[3].age", (3, "age")),
        ("rows[3]", (3, None)),
        ("rows", (None, "rows")),
        ("age", (None, "age")),
        ("", (None, None)),
    ],
)
def test_what_the_bundle_refuses_is_the_clients_mistake(
    setting: str, place: tuple[int | None, str | None]
) -> None:
    reply = Client(create_app(Failing(InputError([Problem(setting, "no good")])))).predict({"x": 1})

    assert reply.status_code == 422
    assert check_shape(reply)["problems"] == [
        {"row": place[0], "field": place[1], "message": "no good"}
    ]


def test_a_failure_tells_nothing_and_the_server_stays_up() -> None:
    app = Client(create_app(Failing(RuntimeError("secret /home/me/model.py"))))

    reply = app.predict({"x": 1})

    assert reply.status_code == 500
    assert (
        check_shape(reply)["message"]
        == "the model failed on this input; the server's log has the cause"
    )
    assert "secret" not in reply.text
    assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
    assert app.get("/health").status_code == 200


# -- over a real connection ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with served(create_app(mixed())) as url:
        yield url


def say(address: str, message: bytes, *, hang_up: bool = False) -> bytes:
    """What a server answers to raw bytes."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(message)
        if hang_up:
            return b""
        return connection.recv(4096)


def test_chunks_without_end_are_cut_off(address: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"[" * 2**16

    try:
        reply = httpx.post(f"{address}/predict", content=endless(), headers=JSON, timeout=10)
    except httpx.WriteError:  # the server may close before it has heard everything
        pass
    else:
        assert reply.status_code == 413
        check_shape(reply)
    assert httpx.post(f"{address}/predict", json={"rows": [GOOD]}).status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,  # the beginning of TLS
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: "
        b"application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["tls", "negative length", "long address", "bad chunk"],
)
def test_what_is_not_http_is_refused(address: str, message: bytes) -> None:
    assert say(address, message).startswith(b"HTTP/1.1 4")
    assert httpx.get(f"{address}/health").status_code == 200


@pytest.mark.parametrize("host", [b"[", b"a b", b"<script>alert(1)</script>", b"\xff"])
def test_a_strange_host_header_does_no_harm(address: str, host: bytes) -> None:
    for path in (b"/docs", b"/nothing", b"/health"):
        reply = say(
            address,
            b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n",
        )
        assert reply.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 404"))
        assert b"alert(1)" not in reply
    assert httpx.get(f"{address}/health").status_code == 200


def test_a_client_that_hangs_up_does_no_harm(address: str) -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        b"1000\r\n\r\n"
    )
    for _ in range(5):
        say(address, head + b'{"rows": [', hang_up=True)

    assert httpx.post(f"{address}/predict", json={"rows": [GOOD]}).status_code == 200


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def nothing_more() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"application/json")]}

    with pytest.raises(
        RefusalError, match=r"the body did not arrive within 0\.05 seconds"
    ) as caught:
        asyncio.run(read_body(Request(scope, nothing_more), Limits(body_seconds=0.05)))

    assert caught.value.status == 408


@pytest.mark.parametrize("name", ["max_body_bytes", "max_rows", "max_text_length"])
def test_limits_must_be_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be above 0, got 0"):
        create_app(mixed(), **{name: 0})
