"""Serving: the port, the announcement, Ctrl-C, and the lines of client code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.doubles import mixed

from winnow.errors import WinnowError
from winnow.serving import serve
from winnow.serving._server import announcement

ROOT = Path(__file__).parents[2]


def test_a_taken_port_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(
            WinnowError,
            match=f"port {port} on 127.0.0.1 is taken by another program: stop that, or choose "
            f"another port",
        ):
            serve(mixed(), port=port)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("127.0.0.1", 70_000, "`port` must be between 0 and 65535, got 70000"),
        ("127.0.0.1", -1, "`port` must be between 0 and 65535, got -1"),
        (
            "no such host",
            8000,
            "`host` must be an address of this machine such as 127.0.0.1 or 0.0.0.0, got 'no "
            "such host'",
        ),
        # Reserved for documentation (RFC 5737)
        ("192.0.2.1", 8000, "`host` must be an address of this machine"),
    ],
)
def test_addresses_that_cannot_be(host: str, port: int, words: str) -> None:
    with pytest.raises(WinnowError, match=words):
        serve(mixed(), host=host, port=port)


SCRIPT = """
from tests.serving.doubles import mixed
from winnow.serving import serve
serve(mixed(), port=0)
"""
CALL = """import json, urllib.request as http
row = {"age": 42, "net (EUR)": None, "color": "red", "member": False, "model_config": True}
body, kind = json.dumps({"rows": [row]}).encode(), {"Content-Type": "application/json"}
request = http.Request("URL/predict", body, kind)
print(json.load(http.urlopen(request)))
"""


def test_serve_until_interrupted() -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")]),
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    with subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline()
            assert said.startswith("incomes: try it at http://127.0.0.1:")
            url = said.split()[4]
            called = subprocess.run(
                [sys.executable, "-c", CALL.replace("URL", url)],
                capture_output=True,
                text=True,
                check=True,
            )
            assert "'predictions': ['" in called.stdout
            server.send_signal(signal.SIGINT)
            _, errors = server.communicate(timeout=20)
        finally:
            server.kill()
    assert server.returncode == 0
    assert errors == ""


@pytest.mark.parametrize(
    ("host", "url", "local"),
    [
        ("127.0.0.1", "http://127.0.0.1:80", True),
        ("localhost", "http://localhost:80", True),
        ("::1", "http://[::1]:80", True),
        ("0.0.0.0", "http://127.0.0.1:80", False),
        ("::", "http://[::1]:80", False),
        ("192.0.2.1", "http://192.0.2.1:80", False),
    ],
)
def test_what_is_announced(host: str, url: str, local: bool) -> None:
    said = announcement("digits", host, 80)

    assert said[0].startswith(f"digits: try it at {url}  (API: {url}/docs")
    assert (len(said) == 1) is local
    assert all("no key and no encryption" in line for line in said[1:])
