"""Small real predictors with the interface of a bundle, and clients to ask the server with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI

from winnow.bundle import Answer, Manifest
from winnow.data import Unusual
from winnow.serving._connections import Deadlines, server_config


class LinearBundle:
    """A softmax (or plain) linear model over the columns of a schema; texts and booleans enter
    as numbers.
    """

    def __init__(
        self,
        schema: Sequence[Mapping[str, Any]],
        *,
        classes: Sequence[Any] | None = None,
        weights: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        **manifest: Any,
    ) -> None:
        self.schema = list(schema)
        self.classes = None if classes is None else tuple(classes)
        self.task = "regression" if classes is None else "classification"
        self.manifest = Manifest.from_dict({"name": "double", "target": "kind", **manifest})
        outputs = len(self.classes) if self.classes else 1
        self.weights = (
            np.random.default_rng(0).normal(size=(len(self.schema), outputs))
            if weights is None
            else weights
        )
        self.bias = np.zeros(outputs) if bias is None else bias

    def _outputs(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        coded = [
            [self._code(column, row[column["name"]]) for column in self.schema] for row in rows
        ]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(coded, dtype=float) @ self.weights + self.bias

    @staticmethod
    def _code(column: Mapping[str, Any], value: Any) -> float:
        if value is None:
            return 0.0
        if column["kind"] == "category":
            known = list(column["categories"])
            return float(known.index(value)) if value in known else -1.0
        return float(value)

    def answer(self, rows: Sequence[Mapping[str, Any]], /) -> Answer:
        outputs = self._outputs(rows)
        warnings = [
            [w for column in self.schema for w in self._unusual(column, row[column["name"]])]
            for row in rows
        ]
        if self.classes is None:
            return Answer(outputs[:, 0], None, warnings)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        labels = np.asarray(self.classes)[outputs.argmax(axis=1)]
        return Answer(labels, powers / powers.sum(axis=1, keepdims=True), warnings)

    @staticmethod
    def _unusual(column: Mapping[str, Any], value: Any) -> list[Unusual]:
        name = column["name"]
        if column["kind"] == "number" and "minimum" in column and value is not None:
            low, high = column["minimum"], column["maximum"]
            if not low <= value <= high:
                return [Unusual(name, f"{value:g} lies outside {low:g} to {high:g}")]
        if column["kind"] == "category" and value not in column["categories"]:
            return [Unusual(name, f"{value!r} was not in the training rows")]
        return []


MIXED: list[dict[str, Any]] = [
    {
        "name": "age",
        "kind": "number",
        "minimum": 17.0,
        "maximum": 90.0,
        "typical": 37.0,
        "example": 42.0,
    },
    {
        "name": "net (EUR)",
        "kind": "number",
        "minimum": -2.5,
        "maximum": 9e4,
        "typical": 1200.5,
        "missing_allowed": True,
    },
    {
        "name": "color",
        "kind": "category",
        "categories": ["red", "it's <b>blue</b>"],
        "typical": "red",
        "example": "red",
    },
    {"name": "member", "kind": "boolean", "typical": True, "example": False},
    {
        "name": "model_config",
        "kind": "boolean",
        "typical": False,
        "missing_allowed": True,
        "example": None,
    },
]
GOOD: dict[str, Any] = {
    "age": 42,
    "net (EUR)": None,
    "color": "red",
    "member": False,
    "model_config": True,
}


def mixed() -> LinearBundle:
    """Numbers, texts and booleans, with gaps allowed in some, and names that are no identifiers."""
    scale = np.array([0.02, 1e-4, 1.0, 1.0, 0.5])[:, None]
    weights = np.random.default_rng(1).normal(size=(5, 3)) * scale
    metrics = {
        "accuracy": {"mean": 0.8712, "low": 0.851, "high": 0.8911, "n": 5},
        "log_loss": 0.412,
    }
    return LinearBundle(
        MIXED, classes=["low", "middle", "high"], weights=weights, metrics=metrics, name="incomes"
    )


def price() -> LinearBundle:
    """One number and one text to a number with a unit."""
    schema = [{**MIXED[0], "name": "area"}, MIXED[2]]
    return LinearBundle(
        schema,
        weights=np.array([[3.5], [10.0]]),
        bias=np.array([1000.25]),
        unit="EUR",
        target="price",
        name="prices",
    )


class Client:
    """A synchronous client over the application itself, without a socket."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            # The application's own answer to an unexpected error is wanted, not the error.
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def predict(self, *rows: Any) -> httpx.Response:
        return self.post("/predict", json={"rows": list(rows)})


@contextlib.contextmanager
def served(
    app: FastAPI, *, deadlines: Deadlines | None = None, connections: int | None = None
) -> Iterator[str]:
    """``app`` as ``serve`` runs it, on a free loopback port; yields its address."""
    config = server_config(app, deadlines=deadlines, connections=connections)
    config.host, config.port = "127.0.0.1", 0
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # errors are part of the tests
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
