"""The document about the data, as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from winnow.records import Document

__all__ = ["DataRecord"]


@dataclass(frozen=True)
class DataRecord(Document):
    """The facts about the data that a report shows.

    Attributes:
        source, target, task: as the recipe has them.
        classes: labels; None for regression.
        rows: by part; ``all`` where there is no split yet.
        columns: each with its name, its kind and what was learned of it, which depends on the kind.
        features: how many numbers a row gives; None before the preparation.
        in_shape: of a row.
        notes: what the reader should know.
        digest: SHA-256 of the content.
    """

    NAME: ClassVar[str] = "data"

    source: str | None = None
    target: str | None = None
    task: str | None = None
    classes: tuple[Any, ...] | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    columns: tuple[Mapping[str, Any], ...] = ()
    features: int | None = None
    in_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    digest: str | None = None
