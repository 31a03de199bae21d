"""The document about the bundle of a run, as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from winnow.records import Document, Record

__all__ = ["BundleRecord", "FileRecord"]


@dataclass(frozen=True)
class FileRecord(Record):
    """A file of a bundle."""

    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class BundleRecord(Document):
    """The bundle of a run.

    Attributes:
        path: the folder.
        bytes: of all its files.
        files: by name, as the manifest has them.
        made_from: names the trained variant and the settings that it belongs to.
    """

    NAME: ClassVar[str] = "bundle"

    path: str | None = None
    bytes: int | None = None
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    made_from: str | None = None
