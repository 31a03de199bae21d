"""The OpenAPI description, with the input schema of the very bundle that is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, create_model

from winnow.serving._errors import ErrorAnswer
from winnow.serving._fields import InputField, example_of
from winnow.serving._protocol import Limits

__all__ = ["REQUEST_REF", "error_responses", "install", "request_model"]

REQUEST_REF = {"$ref": "#/components/schemas/Rows"}


def request_model(
    row: type[BaseModel], fields: Sequence[InputField], limits: Limits
) -> type[BaseModel]:
    """Return the body of POST /predict."""
    rows = example_of(fields).get("examples")
    example: dict[str, Any] = {"examples": [{"rows": rows}]} if rows else {}
    return create_model(
        "Rows",
        __doc__="Rows to predict from.",
        __config__=ConfigDict(extra="forbid", json_schema_extra=example),
        rows=(list[row], Field(min_length=1, max_length=limits.max_rows)),  # type: ignore[valid-type]
    )


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the answers of an endpoint that say no."""
    words = {
        400: "Not valid JSON",
        408: "The body did not arrive in time",
        413: "Too many bytes or rows",
        415: "The body is not declared as JSON",
        422: "The input does not fit the schema; `problems` names the row and the field of each "
        "mistake",
        500: "The model failed",
    }
    return {status: {"model": ErrorAnswer, "description": words[status]} for status in statuses}


def install(app: FastAPI, body: type[BaseModel]) -> None:
    """Let ``app`` describe ``body``, which FastAPI does not see because the server reads bodies
    itself, within limits.
    """
    app.openapi = _describer(app, body)  # type: ignore[method-assign]


def _describer(app: FastAPI, body: type[BaseModel]) -> Callable[[], dict[str, Any]]:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas.update(_schemas(body))
            app.openapi_schema = document
        return app.openapi_schema

    return openapi


def _schemas(body: type[BaseModel]) -> Mapping[str, Any]:
    schema = body.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), body.__name__: schema}
