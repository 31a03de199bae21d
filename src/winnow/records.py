"""Records of what stages leave behind, which a ledger keeps as JSON.

A record is a frozen dataclass. ``to_dict`` gives what JSON can hold, and ``from_dict`` makes the
record of it again. Files outlive the code that wrote them: names that a record does not know are
passed over, and what an older file lacks, or holds as null, has its default.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from winnow.errors import WorkspaceError

__all__ = ["Document", "Record", "keep", "plain", "read", "recall"]


@dataclass(frozen=True)
class Record:
    """Base of the records. A field's type is one that JSON has (``str``, ``int``, ``float``,
    ``bool``, ``Any``, a ``Literal``), something with a ``from_dict`` of its own (a record, an
    interval), or a ``tuple[X, ...]``, ``Mapping[str, X]`` or ``X | None`` of these.
    """

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the fields in their order; see ``plain``."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """The record of plain data.

        Raises:
            WorkspaceError: a value is of another type than the field, or a field without a default
                is missing.
        """
        return cls(**_fields(cls, document))


@dataclass(frozen=True)
class Document(Record):
    """A record that the ledger keeps by itself, under the name ``NAME``."""

    NAME: ClassVar[str]

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        try:
            return super().from_dict(document)
        except WorkspaceError as error:
            raise WorkspaceError(f"document {cls.NAME!r}: {error}") from error


Kind = TypeVar("Kind", bound=Document)


class _Keeper(Protocol):
    """What is needed of a ledger."""

    def put_document(self, name: str, content: dict[str, Any], /) -> Any: ...
    def get_document(self, name: str, /) -> Mapping[str, Any] | None: ...


def keep(ledger: _Keeper, document: Document) -> None:
    """Write a document into a ledger, in place of what was there under its name."""
    ledger.put_document(document.NAME, document.to_dict())


def recall(ledger: _Keeper, kind: type[Kind]) -> Kind | None:
    """The document of a kind in a ledger; None where there is none.

    Raises:
        WorkspaceError: the document holds what the record cannot.
    """
    document = ledger.get_document(kind.NAME)
    return None if document is None else kind.from_dict(document)


def read(documents: Mapping[str, Mapping[str, Any] | None], kind: type[Kind]) -> Kind | None:
    """The document of a kind among many that are plain data, by name; None where it is absent.

    Raises:
        WorkspaceError: the document holds what the record cannot.
    """
    document = documents.get(kind.NAME)
    return None if document is None else kind.from_dict(document)


def plain(value: Any) -> Any:
    """The same as JSON can hold it: records as mappings, tuples as lists, NumPy's
    numbers and arrays as Python's, and null for NaN and the infinities, which JSON does not know.
    """
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    elif is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


# -- reading ---------------------------------------------------------------------------------------


def _fields(cls: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    hints, found = _hints(cls), {}
    for field in fields(cls):
        value = document.get(field.name)
        if value is not None:
            found[field.name] = _typed(hints[field.name], value, field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise WorkspaceError(f"{field.name} is missing")
    return found


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


_NUMBERS = {int: "a whole number", float: "a number"}


def _typed(hint: Any, value: Any, place: str) -> Any:
    """``value`` as a field of the type ``hint`` holds it."""
    if hint is Any:
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        hints = [h for h in inner if h is not type(None)]
        return None if value is None else _typed(hints[0], value, place)
    if origin is Literal:
        if value not in inner:
            raise _mistake(place, f"one of {', '.join(map(str, inner))}", value)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _mistake(place, "a list", value)
        return tuple(_typed(inner[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _mistake(place, "a mapping", value)
        return {key: _typed(inner[1], item, f"{place}.{key}") for key, item in value.items()}
    if hasattr(hint, "from_dict"):
        if not isinstance(value, Mapping):
            raise _mistake(place, "a mapping", value)
        try:
            return hint.from_dict(value)
        except WorkspaceError as error:
            raise WorkspaceError(f"{place}.{error}") from error
    if hint in _NUMBERS:
        return _number(hint, value, place)
    if not isinstance(value, hint):
        raise _mistake(place, "text" if hint is str else "true or false", value)
    return value


def _number(hint: type, value: Any, place: str) -> Any:
    """A float is written as null where it is not finite, within a list, too."""
    if value is None and hint is float:
        return math.nan
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not (whole or (hint is float and isinstance(value, float))):
        raise _mistake(place, _NUMBERS[hint], value)
    return int(value) if hint is int else value


def _mistake(place: str, expected: str, value: Any) -> WorkspaceError:
    return WorkspaceError(f"{place}: expected {expected}, got {value!r:.80}")
