"""The names that the server answers to, and what every answer carries."""

from __future__ import annotations

import socket

import pytest
from tests.serving.doubles import GOOD, Client, mixed

from winnow.serving import create_app


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "localhost:8000",
        "LOCALHOST",
        "[::1]:8000",
        "[::1]",
        "10.1.2.3",
        "[fe80::1%eth0]:80",
        socket.gethostname(),
    ],
)
def test_addresses_and_own_names_are_answered(host: str) -> None:
    assert Client(create_app(mixed())).get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "",
        "[::1",
        "é",
        "[fe80::1%<b>x</b>]",
        "[fe80::1%a b]",
        "[::1%evil.example]:80",
        "[2001:db8::1%eth0]",
    ],
)
def test_other_names_are_refused(host: str) -> None:
    client = Client(create_app(mixed()))

    for path in ("/", "/health", "/schema", "/openapi.json"):
        reply = client.get(path, headers={"host": host.encode()})  # type: ignore[dict-item]
        assert reply.status_code == 400
        assert "this server does not answer to " in reply.json()["error"]["message"]
    assert (
        client.post("/predict", json={"rows": [GOOD]}, headers={"host": "evil.example"}).status_code
        == 400
    )


def test_names_can_be_allowed() -> None:
    named = Client(create_app(mixed(), allowed_hosts=["models.example"]))
    assert named.get("/health", headers={"host": "Models.Example:80"}).status_code == 200
    assert named.get("/health", headers={"host": "evil.example"}).status_code == 400
    assert (
        Client(create_app(mixed(), allowed_hosts=["*"]))
        .get("/health", headers={"host": "any"})
        .status_code
        == 200
    )


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/schema", "/openapi.json", "/nothing"])
def test_no_answer_is_taken_for_another_type(path: str) -> None:
    assert Client(create_app(mixed())).get(path).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/health", "/schema"])
def test_head_is_answered_where_get_is(path: str) -> None:
    assert Client(create_app(mixed())).request("HEAD", path).status_code == 200
