"""The types of single settings. All are strict: text is no number and true is not 1, but a
whole number is a number.
"""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

__all__ = [
    "Above0To1",
    "BelowOne",
    "Character",
    "Classes",
    "Count",
    "Depth",
    "Encoding",
    "Flag",
    "Fraction",
    "Index",
    "Inside",
    "Minutes",
    "Name",
    "Names",
    "NonNegative",
    "Parts",
    "Positive",
    "Seed",
    "Seeds",
    "Several",
    "Shape",
    "Trainings",
]

Positive = Annotated[float, Field(gt=0, strict=True)]
NonNegative = Annotated[float, Field(ge=0, strict=True)]
Minutes = Annotated[float, Field(gt=0, le=10**6, strict=True)]
Fraction = Annotated[float, Field(ge=0, le=1, strict=True)]
BelowOne = Annotated[float, Field(ge=0, lt=1, strict=True)]
Above0To1 = Annotated[float, Field(gt=0, le=1, strict=True)]
Inside = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]
Several = Annotated[int, Field(ge=2, le=10**9, strict=True)]
# Upper ends are far above what anybody wants, and low enough that a slip is told before it fills
# the memory or runs for years.
Depth = Annotated[int, Field(ge=1, le=1000, strict=True)]
Trainings = Annotated[int, Field(ge=1, le=100_000, strict=True)]
Seeds = Annotated[int, Field(ge=2, le=10_000, strict=True)]
Index = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Flag = Annotated[bool, Field(strict=True)]


def _as_tuple(value: Any) -> Any:
    """Return a list as a tuple, which cannot be changed."""
    return tuple(value) if isinstance(value, list) else value


# Stands in paths of settings, so it has no dots.
Name = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

# Only lists and tuples: the order of a set differs from run to run, and with it the identity of
# what is trained.
Names = Annotated[tuple[str, ...], Field(strict=True), BeforeValidator(_as_tuple)]
Shape = Annotated[tuple[Count, ...], Field(strict=True, min_length=1), BeforeValidator(_as_tuple)]


def _one_character(value: str) -> str:
    if len(value) != 1:
        raise ValueError(f"expected one character, got {value!r}")
    return value


Character = Annotated[str, Field(strict=True), AfterValidator(_one_character)]


def _known_encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError:
        raise ValueError(
            f"expected the name of an encoding, such as utf-8, cp1252, cp1250 or gbk, got {value!r}"
        ) from None


Encoding = Annotated[str, Field(strict=True), AfterValidator(_known_encoding)]


TwoNames = Annotated[tuple[str, ...], Field(strict=True, min_length=2), BeforeValidator(_as_tuple)]


def _number_or_names(value: object) -> str:
    """Tell which member of ``Classes`` is meant, so that a mistake is told of that one alone."""
    return "number" if isinstance(value, int) else "names"


Classes = Annotated[
    Annotated[Several, Tag("number")] | Annotated[TwoNames, Tag("names")],
    Discriminator(_number_or_names),
]


def _all_or_names(value: Any) -> Any:
    if isinstance(value, str) and value != "all":
        raise ValueError(f"expected 'all' or a list of names, got {value!r}")
    return value


def _all_or_list(value: object) -> str:
    """Tell which member of ``Parts`` is meant."""
    return "all" if isinstance(value, str) else "names"


Parts = Annotated[
    Annotated[Literal["all"], Tag("all")] | Annotated[Names, Tag("names")],
    Discriminator(_all_or_list),
    BeforeValidator(_all_or_names),
]
