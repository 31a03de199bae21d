"""The input columns of a bundle as the server sees them, and the typed row that is made of them."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)
from pydantic_core import PydanticCustomError

__all__ = ["InputField", "example_of", "read_fields", "row_model", "tidy"]

LARGEST = 3.4028234663852886e38  # of float32, in which the model computes
LONGEST_EXAMPLE = 256  # numbers of an array that is still written out in the API's description


@dataclass(frozen=True)
class InputField:
    """One input column, with what was observed of it in training. ``typical`` and ``example`` are
    JSON values.

    Attributes:
        format: ``date``: a number column whose values are ISO dates; ``code``: categories that were
            whole numbers.
        minimum, maximum: observed in training; ISO text for dates.
        shape: of an array's nested lists; () for one value.
        dtype: of an array's values: floats, whole numbers (``int64``, ...) or ``bool``.
        written: a value as it stood in the training file, where numbers or dates were written as
            people do (``$1,200``): such text is taken, too.
    """

    name: str
    kind: Literal["number", "category", "boolean", "array"]
    format: Literal["date", "code"] | None = None
    categories: tuple[Any, ...] = ()
    minimum: Any = None
    maximum: Any = None
    whole: bool = False
    shape: tuple[int, ...] = ()
    typical: Any = None
    example: Any = None
    missing_allowed: bool = False
    had_gaps: bool = False  # in training; without any, a form need not offer "unknown"
    written: str | None = None
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """How many values the field holds."""
        return math.prod(self.shape)

    @property
    def expected(self) -> str:
        """What a value must be, in a few words."""
        if self.format == "date":
            words = "a date such as 2024-05-01" + (f" or {self.written}" if self.written else "")
        elif self.kind == "array":
            words = self._array_words
        elif self.kind == "number" and self.written is not None:
            words = f"a number, or text such as {self.written}"
        else:
            words = {"number": "a number", "category": "text", "boolean": "true or false"}[
                self.kind
            ]
        if self.missing_allowed:
            return "true, false or null" if self.kind == "boolean" else f"{words} or null"
        return words

    @property
    def _array_words(self) -> str:
        one, many = "a number", "numbers"
        if self.dtype != "float32":
            one, many = "a whole number", "whole numbers"
        if self.dtype == "bool":
            one, many = "true or false", "true or false"
        if not self.shape:
            return one
        return f"{many} in nested lists of shape {' x '.join(map(str, self.shape))}"

    @property
    def observed(self) -> str:
        """The range that training saw: ``0.1 to 6.9``; empty when there is none."""
        is_range = self.kind in ("number", "array") and self.dtype != "bool"
        if not is_range or self.minimum is None or self.maximum is None:
            return ""
        return f"{_words(self.minimum)} to {_words(self.maximum)}"

    @property
    def description(self) -> str:
        """One sentence for the API's description."""
        words = self.expected
        if self.observed:
            words += f"; {self.observed} in training"
        if self.kind == "number" and self.typical is not None:
            words += f", typically {_words(self.typical)}"
        if self.categories:
            shown = ", ".join(str(c) for c in self.categories[:20])
            more = f" and {len(self.categories) - 20} more" if len(self.categories) > 20 else ""
            words += f"; known from training: {shown}{more}; others are allowed"
        return words

    def facts(self) -> dict[str, Any]:
        """Return the field as GET /schema answers it: what applies to its kind."""
        facts: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "missing_allowed": self.missing_allowed,
        }
        if self.format:
            facts["format"] = self.format
        if self.kind in ("number", "array"):
            facts |= {"minimum": self.minimum, "maximum": self.maximum}
        if self.kind == "category":
            facts["categories"] = list(self.categories)
        if self.kind == "array":
            return facts | {"shape": list(self.shape), "dtype": self.dtype}
        return facts | {"typical": self.typical, "example": self.example}


def _words(value: Any) -> str:
    return (
        value if isinstance(value, str) else f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.6g}"
    )


def read_fields(schema: Sequence[Mapping[str, Any]]) -> tuple[InputField, ...]:
    """Return the columns of ``bundle.schema``, with numbers tidied for display."""
    return tuple(_read(column) for column in schema)


def _read(column: Mapping[str, Any]) -> InputField:
    shape = tuple(column.get("shape") or ())
    typical, example = tidy(column.get("typical")), tidy(column.get("example"))
    minimum, maximum = tidy(column.get("minimum")), tidy(column.get("maximum"))
    if column["kind"] == "array":
        # A mask that hides everything makes a poor example
        value = bool(maximum) if column.get("dtype") == "bool" else minimum or 0
        typical = example = _filled(shape, value)
    return InputField(
        name=str(column["name"]),
        kind=column["kind"],
        format=column.get("format"),
        categories=tuple(tidy(c) for c in column.get("categories") or ()),
        minimum=minimum,
        maximum=maximum,
        whole=bool(column.get("whole", False)),
        shape=shape,
        typical=typical,
        example=typical if example is None else example,
        missing_allowed=bool(column.get("missing_allowed", False)),
        written=column.get("written"),
        dtype=column.get("dtype", "float32"),
        had_gaps=bool(column.get("missing_allowed", False) and column.get("gaps", 1)),
    )


def tidy(value: Any) -> Any:
    """Return a JSON value for people: floats to six significant digits (5.1, not the 5.0999999 of
    float32), non-finite ones as None.
    """
    if hasattr(value, "item"):  # a NumPy scalar
        value = value.item()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.6g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def _filled(shape: Sequence[int], value: Any) -> Any:
    return [_filled(shape[1:], value) for _ in range(shape[0])] if shape else value


def row_model(fields: Sequence[InputField], *, max_text_length: int) -> type[BaseModel]:
    """Return the pydantic model of one input row: strict types, nothing missing, nothing extra.

    Columns may have any name, so the model's own attributes are numbered and the column names are
    their aliases.
    """
    definitions: dict[str, Any] = {}
    for i, field in enumerate(fields):
        kind: Any = _type_of(field, max_text_length)
        examples = list(field.categories[:5]) if field.categories else [field.example]
        shown = examples if field.size <= LONGEST_EXAMPLE and examples != [None] else None
        info = Field(
            alias=field.name, title=field.name, description=field.description, examples=shown
        )
        definitions[f"f{i}"] = (kind | None if field.missing_allowed else kind, info)
    config = ConfigDict(
        extra="forbid", strict=True, title="Row", json_schema_extra=example_of(fields)
    )
    return create_model("Row", __config__=config, __doc__="One row of input.", **definitions)


def example_of(fields: Sequence[InputField]) -> dict[str, Any]:
    """Return ``{"examples": [row]}`` for a JSON schema; empty where a row would fill pages."""
    if any(f.size > LONGEST_EXAMPLE for f in fields):
        return {}
    return {"examples": [{f.name: f.example for f in fields}]}


def _type_of(field: InputField, max_text_length: int) -> Any:
    text = Annotated[StrictStr, Field(max_length=max_text_length)]
    # For the API's description; our message is clearer than pydantic's
    bounds = {"minimum": -LARGEST, "maximum": LARGEST}
    number = Annotated[
        float, Field(allow_inf_nan=False, json_schema_extra=bounds), AfterValidator(_fits_float32)
    ]
    if field.format == "date" and field.written is not None:
        return text  # the bundle knows the form
    if field.format == "date":
        return Annotated[
            text, AfterValidator(_is_date), Field(json_schema_extra={"format": "date"})
        ]
    if field.kind == "number":
        return number if field.written is None else number | text
    if field.kind == "boolean":
        return StrictBool
    if field.kind == "array":
        kind: Any = _array_value(field.dtype, number)
        for length in reversed(field.shape):
            kind = Annotated[list[kind], Field(min_length=length, max_length=length)]
        return kind
    if field.format == "code":
        return text | StrictInt
    if all(isinstance(c, str) for c in field.categories):
        return text
    return text | StrictBool | StrictInt | Annotated[StrictFloat, Field(allow_inf_nan=False)]


def _array_value(dtype: str, number: Any) -> Any:
    """Return the type of one value of an array. What a client writes as 0 and 1 is taken for
    booleans.
    """
    if dtype == "float32":
        return number
    if dtype == "bool":
        return StrictBool | Annotated[StrictInt, Field(ge=0, le=1)]
    limit = 2 ** (int(dtype.removeprefix("int")) - 1)
    return Annotated[StrictInt, Field(ge=-limit, le=limit - 1)]


def _fits_float32(value: float) -> float:
    if abs(value) > LARGEST:
        raise PydanticCustomError("too_large", "beyond float32")
    return value


def _is_date(value: str) -> str:
    try:
        dt.datetime.fromisoformat(value.strip()).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("not_a_date", "not a date") from None
    return value
