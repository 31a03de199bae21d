"""The one shape in which the server says no."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import Response

__all__ = ["ErrorAnswer", "Fault", "RefusalError", "json_response", "refusal_response"]


@dataclass(frozen=True)
class Fault:
    """One mistake in a request: which row (from 0) and which field, None where it is about
    neither.
    """

    row: int | None
    field: str | None
    message: str


class RefusalError(Exception):
    """A request that is answered with an error status.

    Args:
        status: the HTTP status.
        message: what is wrong, in one sentence.
        faults: each mistake by its row and field.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.faults, self.headers = (
            status,
            message,
            tuple(faults),
            headers,
        )


class ProblemModel(BaseModel):
    """One mistake."""

    row: int | None = Field(
        description="the row at fault, counted from 0; null when the mistake is not about one row"
    )
    field: str | None = Field(
        description="the field at fault; null when the mistake is not about one field"
    )
    message: str


class ErrorModel(BaseModel):
    """What went wrong, and where."""

    message: str
    problems: list[ProblemModel]


class ErrorAnswer(BaseModel):
    """Every answer with a status of 400 or above."""

    error: ErrorModel


def json_response(
    content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``content`` as JSON. Only ASCII goes out, so that a lone surrogate echoed from a
    request cannot break the answer.
    """
    body = json.dumps(content, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    # here, too, and not only in the guard of hosts: an answer of 500 is made outside of it
    named = {"X-Content-Type-Options": "nosniff", **(headers or {})}
    return Response(body, status_code=status, headers=named, media_type="application/json")


def refusal_response(refused: RefusalError) -> Response:
    """Return the answer to a refused request."""
    content = {
        "error": {"message": refused.message, "problems": [asdict(f) for f in refused.faults]}
    }
    return json_response(content, status=refused.status, headers=refused.headers)
