"""Connections that say nothing, say it slowly, or never listen; and more of them than there is
room for.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from tests.serving.doubles import GOOD, MIXED, LinearBundle, mixed, served

from winnow.serving import create_app
from winnow.serving._connections import Deadlines, QuietLog, most_connections

SHORT = Deadlines(head=0.4, request=1.5, unread=0.6)


def dial(url: str) -> socket.socket:
    place = urlsplit(url)
    assert place.hostname is not None
    return socket.create_connection((place.hostname, place.port or 80), timeout=10)


def seconds_until_closed(line: socket.socket) -> float:
    began = time.monotonic()
    try:
        while line.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize(
    "sent", [b"", b"GET /hea", b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\nx: "]
)
def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    with served(create_app(mixed()), deadlines=SHORT) as url, dial(url) as line:
        line.sendall(sent)

        assert seconds_until_closed(line) == pytest.approx(SHORT.head, abs=0.35)


def test_a_byte_now_and_then_moves_no_deadline() -> None:
    with served(create_app(mixed()), deadlines=SHORT) as url, dial(url) as line:
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < 10:
                line.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 4 * SHORT.head + 1


def test_a_body_that_does_not_come_ends_the_connection() -> None:
    head = (
        b"POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: "
        b"application/json\r\ncontent-length: 100\r\n\r\n{"
    )
    with served(create_app(mixed()), deadlines=SHORT) as url, dial(url) as line:
        line.sendall(head)

        assert seconds_until_closed(line) == pytest.approx(SHORT.request, abs=0.5)


def test_a_client_that_never_reads_is_dropped() -> None:
    # Its /schema is megabytes
    wide = [{"name": f"column {i}" + "x" * 500, "kind": "number"} for i in range(4000)]
    with served(create_app(LinearBundle(wide)), deadlines=SHORT) as url:
        with dial(url) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(8):
                line.sendall(b"GET /schema HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            time.sleep(SHORT.request + SHORT.unread + 0.5)
            line.settimeout(10)
            seconds_until_closed(line)  # what lay in the buffers, then the end
        assert httpx.get(f"{url}/health").status_code == 200


def test_connections_beyond_the_limit_are_told_and_the_others_go_on() -> None:
    with served(create_app(mixed()), connections=3) as url, httpx.Client(base_url=url) as client:
        assert client.get("/health").status_code == 200  # keeps one connection
        with dial(url), dial(url) as second:
            time.sleep(0.1)
            with dial(url) as fourth:
                assert fourth.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable")
                assert fourth.recv(1000) == b""
            assert client.post("/predict", json={"rows": [GOOD]}).status_code == 200
            second.close()
            time.sleep(0.1)
            with dial(url) as next_one:
                next_one.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                assert next_one.recv(1000).startswith(b"HTTP/1.1 200")


def test_ordinary_use_meets_no_deadline() -> None:
    with served(create_app(mixed()), deadlines=SHORT) as url, httpx.Client(base_url=url) as client:
        began = time.monotonic()
        while time.monotonic() - began < 2.5 * SHORT.request:
            assert client.get("/health").status_code == 200
            time.sleep(0.05)


def test_the_limit_leaves_descriptors_for_the_rest() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, before[1]))
        assert most_connections() == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 16 <= most_connections() <= 1000


def test_a_flood_of_messages_is_summed_up() -> None:
    now = [0.0]
    quiet = QuietLog(most=3, seconds=60.0, clock=lambda: now[0])

    def passes(text: str) -> Any:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, (), None)
        return record.getMessage() if quiet.filter(record) else None

    assert [passes(f"{i}") for i in range(10)] == ["0", "1", "2", *[None] * 7]
    now[0] = 60.0
    assert passes("again") == "(7 messages like this were held back) again"
    assert passes("more") == "more"


@pytest.mark.parametrize("name", ["head", "request", "unread"])
def test_a_deadline_is_above_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=f"`{name}` must be above 0 seconds, got 0"):
        Deadlines(**{name: 0})


def test_a_schema_of_odd_names_does_not_disturb_them() -> None:
    with served(create_app(LinearBundle(MIXED, classes=["a", "b"])), deadlines=SHORT) as url:
        assert httpx.get(url).status_code == 200
