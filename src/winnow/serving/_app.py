"""The application: its endpoints, and what it answers when something is wrong."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from winnow import bundle as bundles
from winnow.serving._answer import ModelInfo, answer, answer_model, model_info
from winnow.serving._errors import RefusalError, json_response, refusal_response
from winnow.serving._fields import InputField, read_fields, row_model
from winnow.serving._hosts import HostGuard
from winnow.serving._openapi import REQUEST_REF, error_responses, install, request_model
from winnow.serving._page import Pages
from winnow.serving._protocol import Limits, Predictor
from winnow.serving._request import check_rows, parse_rows, read_body

__all__ = ["create_app"]

BYTES_PER_VALUE = 24  # of a number in JSON, with its comma
JSON_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST_REF}}}
}


def create_app(
    bundle: Predictor | str | os.PathLike[str],
    *,
    max_body_bytes: int | None = None,
    max_rows: int = 1000,
    max_text_length: int = 1000,
    allowed_hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the HTTP application over one bundle: ``POST /predict``, ``GET /health``, ``/schema``,
    ``/openapi.json``, ``/docs``, ``/``.

    Every error is answered as ``{"error": {"message", "problems": [{"row", "field",
    "message"}]}}``; no page asks for anything outside the server. There is no key and no
    encryption: put it behind a proxy before it faces a network.

    Args:
        bundle: a loaded bundle, or the path of one.
        max_body_bytes: largest body of a request, in bytes; a larger one is answered 413. None: 1
            MiB, or 16 rows of wide inputs.
        max_rows: most rows in one request; more are answered 413.
        max_text_length: most characters in one text value.
        allowed_hosts: names that requests may call the server by (their ``Host`` header), besides
            addresses, ``localhost`` and the name of this machine; ``"*"`` allows any.

    Raises:
        BundleError: the path holds no bundle, a damaged one, or a newer one.
        ValueError: a limit that is not above 0.
    """
    predictor: Predictor
    if isinstance(bundle, str | os.PathLike):
        predictor, name = bundles.load(Path(bundle)), Path(bundle).resolve().stem
    else:
        predictor, name = bundle, "model"
    info = model_info(predictor, name)
    fields = read_fields(predictor.schema)
    if max_body_bytes is None:
        max_body_bytes = max(2**20, 16 * BYTES_PER_VALUE * sum(f.size for f in fields))
    limits = Limits(
        max_body_bytes=max_body_bytes, max_rows=max_rows, max_text_length=max_text_length
    )

    app = FastAPI(
        title=info.name,
        version=info.digest,
        description=f"Predictions of the {info.task} model {info.name!r}. `POST /predict` takes "
        f"rows and answers predictions.",
        docs_url=None,  # FastAPI's own page loads its scripts from elsewhere; ours does not
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_predict(app, predictor, fields, limits, info)
    _add_facts(app, predictor, fields, limits, info)
    _add_pages(app, Pages(predictor, fields, limits, info))
    _add_refusals(app)
    _add_heads(app)
    app.add_middleware(HostGuard, names=allowed_hosts)
    return app


def _add_predict(
    app: FastAPI,
    predictor: Predictor,
    fields: tuple[InputField, ...],
    limits: Limits,
    info: ModelInfo,
) -> None:
    row = row_model(fields, max_text_length=limits.max_text_length)
    described = info.model_dump()

    def predict_body(body: bytes) -> Response:
        rows = check_rows(parse_rows(body, limits), row, fields, limits)
        return json_response({**answer(predictor, rows), "model": described})

    @app.post(
        "/predict",
        summary="Predict from rows",
        response_model=answer_model(predictor, info),
        responses=error_responses(400, 408, 413, 415, 422, 500),
        openapi_extra=JSON_BODY,
    )
    async def predict(request: Request) -> Response:
        body = await read_body(request, limits)
        # In a thread: other requests, /health above all, are answered meanwhile.
        return await run_in_threadpool(predict_body, body)

    install(app, request_model(row, fields, limits))


def _add_facts(
    app: FastAPI,
    predictor: Predictor,
    fields: tuple[InputField, ...],
    limits: Limits,
    info: ModelInfo,
) -> None:
    started = time.monotonic()
    schema = {
        "model": info.model_dump(),
        "task": info.task,
        "classes": None if predictor.classes is None else [str(c) for c in predictor.classes],
        "fields": [f.facts() for f in fields],
        "limits": {
            "body_bytes": limits.max_body_bytes,
            "rows": limits.max_rows,
            "text_length": limits.max_text_length,
        },
    }

    manifest = predictor.manifest
    measured = {
        "model": info.model_dump(),
        "deployed": manifest.deployed or None,
        "metric": manifest.metric,
        "metrics": {
            "of": "this model file, over test rows; intervals over the rows",
            "values": manifest.metrics,
        },
        "recipe_metrics": {
            "of": "the recipe: means over trainings with several seeds, in PyTorch, before "
            "compression",
            "values": manifest.recipe_metrics,
        },
        "test_rows": manifest.test_rows,
        "parity": manifest.parity,
    }

    @app.get("/model", summary="What was measured of the model file, and of its recipe")
    async def model() -> Response:
        return json_response(measured)

    @app.get("/health", summary="Whether the server is ready")
    async def health() -> Response:
        uptime = round(time.monotonic() - started, 3)
        return json_response(
            {"status": "ready", "model": info.model_dump(), "uptime_seconds": uptime}
        )

    @app.get("/schema", summary="The input fields, as data")
    async def input_schema() -> Response:
        return json_response(schema)


def _add_pages(app: FastAPI, pages: Pages) -> None:
    @app.get("/", include_in_schema=False)
    async def try_out() -> Response:
        return pages.try_out()

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return pages.docs(request.headers.get("host", ""))


def _add_heads(app: FastAPI) -> None:
    """HEAD wherever GET is answered: what watches a server often asks no more. uvicorn leaves
    the body out.
    """
    for route in [r for r in app.routes if isinstance(r, APIRoute) and "GET" in (r.methods or ())]:
        app.router.routes.append(
            Route(route.path, _as_view(route.endpoint), methods=["HEAD"], include_in_schema=False)
        )


def _as_view(
    endpoint: Callable[..., Coroutine[Any, Any, Response]],
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return an endpoint of FastAPI's, which may leave the request out, as one of Starlette's."""
    takes_request = bool(inspect.signature(endpoint).parameters)

    async def view(request: Request) -> Response:
        return await (endpoint(request) if takes_request else endpoint())

    return view


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RefusalError)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, RefusalError)
        return refusal_response(error)

    @app.exception_handler(HTTPException)
    async def no_such_endpoint(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        where = f"{request.method[:20]} {request.scope['path'][:200]}"
        words = {
            404: f"nothing here: {where}; try POST /predict, GET /health, /model, /schema, "
            f"/docs, /openapi.json or /",
            405: f"{where}: this address takes "
            f"{(error.headers or {}).get('Allow', 'another method')}",
        }
        return refusal_response(
            RefusalError(
                error.status_code,
                words.get(error.status_code, str(error.detail)),
                headers=error.headers,
            )
        )

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        # Starlette raises the error again after this answer, so that the server logs it; the client
        # learns no more than this.
        return refusal_response(
            RefusalError(500, "the model failed on this input; the server's log has the cause")
        )
