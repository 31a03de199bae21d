"""The manifest of a bundle: what is known about the model, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from winnow.bundle._files import (
    FILES,
    LARGEST,
    MANIFEST,
    MODEL,
    PREPARATION,
    digest_of,
    open_plain,
    read_json,
)
from winnow.bundle._find import FORMAT, or_nearest
from winnow.bundle._record import FileRecord
from winnow.errors import BundleError, WorkspaceError
from winnow.records import Record

__all__ = [
    "VERSION",
    "Manifest",
    "VerdictRecord",
    "check_file",
    "manifest_digest",
    "read_file",
    "read_manifest",
]

VERSION = 1


@dataclass(frozen=True)
class VerdictRecord(Record):
    """Whether a model is shown to be better than simple ones on the same rows.

    Attributes:
        text: the verdict, in a sentence without its capital and its full stop.
        beats_constant: whether it is shown to be better than a constant.
        metric: what they were compared by.
        baselines: the metrics of each simple model, by its name.
    """

    text: str = ""
    beats_constant: bool = False
    metric: str = ""
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest(Record):
    """What is known about the model in a bundle.

    Fields that hold ``Any`` are JSON values.

    Attributes:
        format, format_version: which files a bundle has, and what they mean.
        created: ISO 8601.
        versions: of winnow and the libraries that wrote it; None where one was not installed.
        name: what the model is called.
        task: ``classification`` or ``regression``.
        target: the column that it predicts.
        classes: their labels, in the order of the probabilities; None for regression.
        metric: the score that was optimized.
        metrics: of this very model file on the test rows, by name: intervals over the rows, or
            numbers.
        recipe_metrics: what the recipe gives on average over seeds, before compression.
        test_rows: how many rows ``metrics`` are of.
        verdict: how the model stands beside simple ones.
        schema: the input columns.
        model: how the model was made: ``use``, ``args``, ``parameters`` and so on.
        deployed: ``fp32`` or ``int8``.
        parity: how far this model file is from the PyTorch model that it came from.
        compression: what compression measured of the deployed model.
        examples: a few rows to try the model on.
        files: all but this one, by name.
        unit: of the target, where a predictor knows it.
        in_shape: of one row as the model takes it, where the columns do not tell.
        digest: of everything else in the manifest.
    """

    format: str = FORMAT
    format_version: int = VERSION
    created: str | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    name: str = ""
    task: str = ""
    target: str = ""
    classes: tuple[Any, ...] | None = None
    metric: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    recipe_metrics: Mapping[str, Any] = field(default_factory=dict)
    test_rows: int | None = None
    verdict: VerdictRecord | None = None
    schema: tuple[Mapping[str, Any], ...] = ()
    model: Mapping[str, Any] = field(default_factory=dict)
    deployed: str = ""
    parity: Mapping[str, Any] | None = None
    compression: Mapping[str, Any] | None = None
    examples: tuple[Mapping[str, Any], ...] = ()
    files: Mapping[str, FileRecord] = field(default_factory=dict)
    unit: str | None = None
    in_shape: tuple[int, ...] | None = None
    digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as plain data."""
        document = super().to_dict()
        # Only predictors that are no bundles have these.
        for name in ("unit", "in_shape"):
            if document[name] is None:
                del document[name]
        return document


def manifest_digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of everything in a manifest but this digest itself.

    It finds changes; it does not prove who wrote them.

    Args:
        document: the manifest as plain data, fields that this version does not know included.
    """
    rest = {name: value for name, value in document.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return digest_of(text.encode())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a bundle that this version can read and that nobody changed.

    Raises:
        BundleError: no bundle, written by a newer winnow, or changed.
    """
    document = _read_document(folder)
    _check_version(document.get("format_version"), folder)
    if document.get("digest") != manifest_digest(document):
        raise BundleError(
            f"{MANIFEST} was changed after the bundle was written: its digest does not match"
        )
    _check_entries(document.get("files"))
    try:
        return Manifest.from_dict(document)
    except WorkspaceError as error:
        raise BundleError(f"{MANIFEST}: {error}") from error


def _read_document(folder: Path) -> dict[str, Any]:
    """Read the manifest of a bundle as plain data."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise BundleError(
            f"expected the folder of a bundle or a run directory, {folder} "
            f"{what}{or_nearest(folder)}"
        )
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}{or_nearest(folder)}")
    document = read_json(folder / MANIFEST)
    if document.get("format") != FORMAT:
        raise BundleError(
            f"{folder} is not a bundle: its {MANIFEST} does not say `format: {FORMAT!r}`"
        )
    return document


def _check_version(version: object, folder: Path) -> None:
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(
            f"{MANIFEST}: expected `format_version` to be a number from 1, found {version!r}"
        )
    if version > VERSION:
        raise BundleError(
            f"{folder} was written by a newer winnow (format {version}, this one reads up to "
            f"{VERSION}): upgrade"
        )


def _check_entries(files: object) -> None:
    """Refuse a list of files that leads anywhere else or leaves anything out."""
    if not isinstance(files, dict):
        raise BundleError(
            f"{MANIFEST}: expected `files` to be an object, found {type(files).__name__}"
        )
    for name, entry in files.items():
        if name not in FILES:  # so no path can lead out of the folder, either
            raise BundleError(
                f"{MANIFEST} lists {name!r}, which is no file of a bundle: expected "
                f"{', '.join(FILES)}"
            )
        if not _is_entry(entry):
            raise BundleError(
                f"{MANIFEST}: expected `bytes` and `sha256` for {name}, found {entry!r}"
            )
    for name in (MODEL, PREPARATION):
        if name not in files:
            raise BundleError(f"{MANIFEST} does not list {name}, which every bundle has")


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    size, digest = entry.get("bytes"), entry.get("sha256")
    return isinstance(size, int) and size >= 0 and isinstance(digest, str)


# -- the files that it lists -----------------------------------------------------------------------


def read_file(folder: Path, name: str, manifest: Manifest) -> bytes:
    """Read a file of a bundle, with the size and the digest that the manifest says.

    Raises:
        BundleError: missing, a link, too large, or changed.
    """
    with _open_listed(folder, name, manifest) as file:
        content = file.read()
    _check_digest(name, digest_of(content), manifest)
    return content


def check_file(folder: Path, name: str, manifest: Manifest) -> None:
    """Check a file as ``read_file`` does; it is read in pieces and forgotten.

    Raises:
        BundleError: missing, a link, too large, or changed.
    """
    with _open_listed(folder, name, manifest) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    _check_digest(name, digest, manifest)


def _check_digest(name: str, digest: str, manifest: Manifest) -> None:
    if digest != manifest.files[name].sha256:
        raise BundleError(
            f"{name} was changed after the bundle was written: its SHA-256 does not match the "
            f"manifest"
        )


def _open_listed(folder: Path, name: str, manifest: Manifest) -> BufferedReader:
    entry = manifest.files.get(name)
    if entry is None:
        raise BundleError(f"the bundle {folder} has no {name}")
    file = open_plain(folder / name, LARGEST.get(name))
    # The size is known without reading, so a file that grew is never read.
    size = os.fstat(file.fileno()).st_size
    if size != entry.bytes:
        file.close()
        raise BundleError(
            f"{name} was changed after the bundle was written: it has {size:,} bytes, the "
            f"manifest says {entry.bytes:,}"
        )
    return file
