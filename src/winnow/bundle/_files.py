"""The files of a bundle: their names and sizes, and how they are read with suspicion."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from winnow.errors import BundleError

__all__ = [
    "FILES",
    "LARGEST",
    "LEDGER",
    "MANIFEST",
    "MODEL",
    "PREPARATION",
    "RECIPE",
    "WEIGHTS",
    "digest_of",
    "from_json",
    "open_plain",
    "read_json",
    "to_json",
]

MANIFEST = "manifest.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
PREPARATION = "preparation.json"
RECIPE = "recipe.yaml"
FILES = (MODEL, WEIGHTS, PREPARATION, RECIPE)  # all that a manifest may list
LEDGER = "ledger.db"  # what makes a folder a run directory

_MIB = 2**20
# Bytes read into memory at once; weights are read in pieces, so they may be larger
LARGEST = {MANIFEST: 16 * _MIB, PREPARATION: 64 * _MIB, RECIPE: 16 * _MIB, MODEL: 2048 * _MIB}

# A link could lead out of the bundle, and opening a pipe would wait for whoever writes into it.
# Not every system has each of these flags.
_SUSPICIOUS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hex."""
    return hashlib.sha256(content).hexdigest()


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return a document as JSON text.

    Raises:
        ValueError: it holds NaN or infinity, which are not JSON.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def from_json(content: bytes, name: str) -> dict[str, Any]:
    """Return the object in a JSON file.

    Args:
        content: of the file.
        name: of the file, for messages.

    Raises:
        BundleError: not JSON, or no object.
    """
    try:
        document = json.loads(content, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise BundleError(f"{name} is not valid JSON: {error or type(error).__name__}") from None
    if not isinstance(document, dict):
        raise BundleError(f"expected an object in {name}, found {type(document).__name__}")
    return document


def _no_constant(text: str) -> float:
    """Refuse NaN and the infinities, which Python reads and JSON does not know."""
    raise ValueError(f"{text} is not a JSON number")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in one of the JSON files of a bundle.

    Raises:
        BundleError: the file cannot be read, or is no JSON object.
    """
    with open_plain(path, LARGEST[path.name]) as file:
        return from_json(file.read(), path.name)


def open_plain(path: Path, largest: int | None) -> BufferedReader:
    """Open a regular file that is no link.

    Anything else - a pipe, a device - is refused before it is read.

    Args:
        path: the file.
        largest: bytes that it may have; None: any number.

    Raises:
        BundleError: missing, no regular file, or too large.
    """
    try:
        if path.is_symlink():
            raise BundleError(f"{path.name} is a link; a bundle holds plain files only")
        handle = os.open(path, _SUSPICIOUS)
    except FileNotFoundError:
        raise BundleError(f"{path.name} is missing from the bundle {path.parent}") from None
    except OSError as error:
        raise BundleError(f"cannot read {path.name}: {error.strerror}") from None
    # Asked of the open file: a path may name another one a moment later.
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise BundleError(f"{path.name} is not a plain file")
    if largest is not None and status.st_size > largest:
        os.close(handle)
        raise BundleError(f"{path.name} has {status.st_size:,} bytes, at most {largest:,} are read")
    return open(handle, "rb")
