"""From the bytes of a request to rows that fit the schema, or a refusal that names the mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from winnow.errors import meant_instead, nearest
from winnow.serving._errors import Fault, RefusalError
from winnow.serving._fields import InputField
from winnow.serving._protocol import Limits

__all__ = ["check_rows", "parse_rows", "read_body"]

LONGEST_NAME = 200  # characters of a field's name that are looked at
FORM = 'expected {"rows": [{field: value, ...}, ...]}'


# -- bytes -----------------------------------------------------------------------------------------


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a JSON request, read no further than is allowed.

    Args:
        request: whose headers are looked at first.
        limits: in bytes and seconds.

    Raises:
        RefusalError: 415 not JSON, 413 too large, 408 too slow, 400 broken off.
    """
    _check_headers(request, limits)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.max_body_bytes:
                    raise _too_large(limits)
                chunks.append(chunk)
    except TimeoutError:
        raise RefusalError(
            408, f"the body did not arrive within {limits.body_seconds:g} seconds"
        ) from None
    except ClientDisconnect:
        raise RefusalError(400, "the connection was closed before the body was complete") from None
    return b"".join(chunks)


def _check_headers(request: Request, limits: Limits) -> None:
    kind = request.headers.get("content-type", "")
    media, _, parameters = kind.partition(";")
    if media.strip().lower() != "application/json":
        raise RefusalError(
            415,
            f"expected the header `Content-Type: application/json`, got "
            f"{_show(kind) if kind else 'none'}",
        )
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if "charset=" in charset and not charset.startswith(("charset=utf-8", "charset=utf8")):
        raise RefusalError(415, f"expected JSON in UTF-8, got {_show(kind)}")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise RefusalError(
            415, f"expected a body that is not compressed, got Content-Encoding {_show(encoding)}"
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limits.max_body_bytes:
        raise _too_large(limits)


def _too_large(limits: Limits) -> RefusalError:
    # The rest of the body is never read, so the connection cannot be used again.
    message = f"the body may hold {limits.max_body_bytes:,} bytes: send fewer rows at a time"
    return RefusalError(413, message, headers={"Connection": "close"})


# -- JSON ------------------------------------------------------------------------------------------


def parse_rows(body: bytes, limits: Limits) -> list[Any]:
    """Return the list under ``rows``.

    NaN and Infinity are let through here although JSON has no such words, so that the field that
    holds one can be named.

    Args:
        body: of the request.
        limits: how much is taken.

    Raises:
        RefusalError: 400 not JSON, 422 another form than expected, 413 too many rows.
    """
    content = _parse(body)
    _check_keys(content, limits)
    rows = content["rows"]
    if not isinstance(rows, list):
        raise _refused_rows(f"{FORM}, got {_kind(rows)} under `rows`", "expected a list")
    if not rows:
        raise _refused_rows("expected at least one row, got none", "expected at least one row")
    if len(rows) > limits.max_rows:
        message = f"at most {limits.max_rows:,} rows in one request, got {len(rows):,}"
        raise _refused_rows(message, message, status=413)
    return rows


def _refused_rows(message: str, fault: str, *, status: int = 422) -> RefusalError:
    return RefusalError(status, message, faults=[Fault(None, "rows", fault)])


def _check_keys(content: Any, limits: Limits) -> None:
    """Refuse anything but an object with the one key ``rows``."""
    if not isinstance(content, dict):
        raise RefusalError(422, f"{FORM}, got {_kind(content)}")
    if "rows" not in content:
        raise _refused_rows(f"{FORM}, got {_keys_in_words(content)}", "missing")
    extra = [key for key in content if key != "rows"]
    if extra:
        told = extra[: limits.max_problems]
        faults = [Fault(None, _short(key), "not expected beside `rows`") for key in told]
        names = ", ".join(map(_show, extra[:5]))
        raise RefusalError(422, f"{FORM}, got also {names}", faults=faults)


def _keys_in_words(content: dict[str, Any]) -> str:
    """Return the keys of an object without ``rows``; a single one may be a slip of the keyboard."""
    if not content:
        return "an empty object"
    names = ", ".join(map(_show, list(content)[:5]))
    hint = meant_instead(next(iter(content)), ["rows"]) if len(content) == 1 else ""
    return f"the keys {names}{hint}"


def _parse(body: bytes) -> Any:
    if not body.strip():
        raise RefusalError(400, f"{FORM}, got an empty body")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_distinct)
    except UnicodeDecodeError as error:
        raise RefusalError(
            400, f"not valid JSON: the byte at position {error.start} is not UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise RefusalError(
            400, f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]} at {where}"
        ) from None
    except RecursionError:
        raise RefusalError(400, "not valid JSON for this server: nested too deep") from None
    except ValueError:  # an integer of more digits than Python reads
        raise RefusalError(
            400, "not valid JSON for this server: a number has too many digits"
        ) from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, which may name a key once."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            message = f"the key {_show(key)} is given twice in one object"
            raise RefusalError(400, message, faults=[Fault(None, _short(key), "given twice")])
        found[key] = value
    return found


# -- rows ------------------------------------------------------------------------------------------


def check_rows(
    rows: Sequence[Any], model: type[BaseModel], fields: Sequence[InputField], limits: Limits
) -> list[dict[str, Any]]:
    """Return the rows with every value of its column's type.

    Args:
        rows: as JSON gave them.
        model: of one row.
        fields: the columns.
        limits: how many problems are told.

    Raises:
        RefusalError: 422 with the row and the field of every mistake, up to
            ``limits.max_problems``.
    """
    checked: list[dict[str, Any]] = []
    faults: list[Fault] = []
    by_name = {field.name: field for field in fields}
    most_fields = len(fields) + limits.max_problems
    for i, row in enumerate(rows):
        if not isinstance(row, dict):
            expected = "expected an object {field: value, ...}"
            faults.append(Fault(i, None, f"{expected}, got {_kind(row)}"))
        elif len(row) > most_fields:  # not worth a look at each
            faults.append(Fault(i, None, f"expected {len(fields):,} fields, got {len(row):,}"))
        else:
            try:
                found = model.model_validate(row, by_alias=True, by_name=False)
                checked.append(found.model_dump(by_alias=True))
            except ValidationError as error:
                faults += _faults(i, row, error.errors(include_url=False), by_name)
        if len(faults) >= limits.max_problems:
            break
    if faults:
        raise RefusalError(422, _summary(faults, limits), faults=faults[: limits.max_problems])
    return checked


def _summary(faults: Sequence[Fault], limits: Limits) -> str:
    fault = faults[0]
    place = f"row {fault.row}" if fault.field is None else f"row {fault.row}: {fault.field}"
    first = f"{place}: {fault.message}"
    if len(faults) == 1:
        return first
    if len(faults) < limits.max_problems:
        return f"{len(faults)} problems in the input; the first: {first}"
    return (
        f"many problems in the input, of which the first {limits.max_problems} are listed; the "
        f"first: {first}"
    )


def _faults(
    i: int, row: Mapping[str, Any], errors: Sequence[ErrorDetails], fields: Mapping[str, InputField]
) -> list[Fault]:
    if any(not e["loc"] for e in errors):  # pydantic stops at a name that it cannot take
        broken = [name for name in row if name.encode("utf-8", "replace").decode() != name]
        return [
            Fault(i, _short(name), "not a field of this model: the name holds a lone surrogate")
            for name in broken
        ]
    missing = [str(e["loc"][0]) for e in errors if e["type"] == "missing"]
    faults: dict[str, Fault] = {}  # a union of types gives several errors for one field
    for error in errors:
        name = str(error["loc"][0])
        if name not in faults:
            faults[name] = Fault(i, _short(name), _message(error, name, row, fields, missing))
    return list(faults.values())


def _message(
    error: ErrorDetails,
    name: str,
    row: Mapping[str, Any],
    fields: Mapping[str, InputField],
    missing: Sequence[str],
) -> str:
    if error["type"] == "missing":
        return f"missing; expected {fields[name].expected}"
    if error["type"] == "extra_forbidden":
        close = nearest(name, missing or list(fields)) if len(name) <= LONGEST_NAME else None
        return "not a field of this model" + (f" - did you mean {close!r}?" if close else "")
    field, value, where = fields[name], row[name], ""
    for step in error["loc"][1:]:  # into an array's lists; a text in the path is the name of a type
        if isinstance(step, int):
            value, where = value[step], f"{where}[{step}]"
    where = f" at {where}" if where else ""
    if error["type"] == "string_too_long":
        return f"expected at most {error['ctx']['max_length']:,} characters, got {len(value):,}"
    if error["type"] in ("too_short", "too_long"):
        return f"expected {field.expected}, got {len(value):,} values{where}"
    if error["type"] == "finite_number":
        return f"expected a finite number, got {_show(value)}{where}"
    if error["type"] == "string_unicode":
        return "expected text in Unicode, got a lone surrogate"
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    # Whole numbers beyond float64 are no floats to pydantic
    if error["type"] == "too_large" or (error["type"] == "float_type" and is_whole):
        return f"expected a number between -3.4e38 and 3.4e38, got {_show(value)}{where}"
    return f"expected {field.expected}, got {_show(value)}{where}"


def _short(name: str) -> str:
    """Return a name from a request, to be sent back."""
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."


def _kind(value: Any) -> str:
    """Return what a value of JSON is, in words."""
    if isinstance(value, bool | int | float) or value is None:
        return _show(value)
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def _show(value: Any) -> str:
    """Return a value for a message, as JSON writes it where Python differs, and never long."""
    if isinstance(value, list | dict):
        return _kind(value)
    words = {True: "true", False: "false", None: "null"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text):,} characters)"
