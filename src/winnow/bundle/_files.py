"""The files of a bundle: their names and sizes, how they are written all or nothing, and how
they are read with suspicion.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

from winnow.errors import BundleError, nearest
from winnow.files import sync_folder

__all__ = [
    "FORMAT",
    "MANIFEST",
    "MODEL",
    "PREPARATION",
    "RECIPE",
    "VERSION",
    "WEIGHTS",
    "digest_of",
    "find_bundle",
    "is_bundle",
    "write_folder",
]

FORMAT = "winnow bundle"
VERSION = 1

MANIFEST = "manifest.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
PREPARATION = "preparation.json"
RECIPE = "recipe.yaml"
LEDGER = "ledger.db"  # what makes a folder a run directory

_MIB = 2**20
# Bytes read into memory at once
LARGEST = {MANIFEST: 16 * _MIB, PREPARATION: 64 * _MIB, RECIPE: 16 * _MIB, MODEL: 2048 * _MIB}


def digest_of(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def to_json(document: Mapping[str, Any]) -> bytes:
    """JSON text; refuses NaN and infinity, which are not JSON."""
    return (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _read_json(path: Path) -> dict[str, Any]:
    with _open_plain(path, LARGEST[path.name]) as file:
        return from_json(file.read(), path.name)


def from_json(content: bytes, name: str) -> dict[str, Any]:
    """The object in a JSON file.

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
    raise ValueError(f"{text} is not a JSON number")


# -- writing ---------------------------------------------------------------------------------------


def is_bundle(folder: Path) -> bool:
    """Whether ``folder`` holds a manifest that calls itself a winnow bundle, of whatever
    version.
    """
    try:
        return _read_json(folder / MANIFEST).get("format") == FORMAT
    except BundleError:
        return False


def find_bundle(path: Path) -> Path:
    """The bundle that ``path`` stands for: itself, or the one that lies in a run directory.

    Raises:
        BundleError: a run directory without a bundle, or with several.
    """
    if not (path / LEDGER).is_file() or is_bundle(path):
        return path  # reading it says what is wrong with it
    found = sorted(folder for folder in path.glob("*.winnow") if is_bundle(folder))
    if not found:
        raise BundleError(
            f"{path} is a run directory without a bundle: `winnow run {path}` goes on until "
            f"there is one"
        )
    if len(found) > 1:
        names = ", ".join(str(folder) for folder in found)
        raise BundleError(
            f"{path} is a run directory with {len(found)} bundles: name one of them, {names}"
        )
    return found[0]


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make ``path`` a folder with exactly ``files``: first aside and on the disk, then by renaming.
    An older bundle is replaced.

    Whoever reads ``path`` meanwhile finds the old bundle, the new one, or between two renamings
    none; never half of one.

    Raises:
        BundleError: ``path`` is something else than a bundle or an empty folder, or holds files
            that are not the bundle's.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    new, old = (
        path.with_name(f".{path.name}.{mark}.new"),
        path.with_name(f".{path.name}.{mark}.old"),
    )
    try:
        _write_all(new, files)
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
        sync_folder(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)  # only now: until here it may be the only copy


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.mkdir()
    for name, content in files.items():
        with open(folder / name, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)


def _check_replaceable(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise BundleError(
            f"{path} exists and is not a bundle but a file: choose another name or remove it"
        )
    inside = sorted(entry.name for entry in path.iterdir())
    if not inside:
        return
    if not is_bundle(path):
        raise BundleError(
            f"{path} exists and is not a bundle (it holds {', '.join(inside[:5])}): choose "
            f"another name"
        )
    foreign = [
        name for name in inside if name not in (MANIFEST, MODEL, WEIGHTS, PREPARATION, RECIPE)
    ]
    if foreign:
        raise BundleError(
            f"{path} is a bundle but also holds {', '.join(foreign[:5])}: move that away first, "
            f"it would be lost"
        )


def clean_up(folder: Path) -> None:
    """Put right what a process that was killed while it wrote a bundle into ``folder`` has left
    there. Nobody may be writing.

    A bundle that was moved out of the way and has no successor yet is moved back: it is the only
    copy.
    """
    for left in sorted(folder.glob(".*.old")):
        match = _LEFT.fullmatch(left.name)
        if match is not None and left.is_dir() and not (folder / match["name"]).exists():
            left.rename(folder / match["name"])
    for left in folder.glob(".*"):
        if _LEFT.fullmatch(left.name) and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)


_LEFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(new|old)")


# -- reading ---------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle that this version can read and that nobody changed.

    Raises:
        BundleError: no bundle, written by a newer winnow, or changed.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise BundleError(
            f"expected the folder of a bundle or a run directory, {folder} "
            f"{what}{_or_nearest(folder)}"
        )
    if not (folder / MANIFEST).exists():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}{_or_nearest(folder)}")
    manifest = _read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{folder} is not a bundle: its {MANIFEST} does not say `format: {FORMAT!r}`"
        )
    version = manifest.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(
            f"{MANIFEST}: expected `format_version` to be a number from 1, found {version!r}"
        )
    if version > VERSION:
        raise BundleError(
            f"{folder} was written by a newer winnow (format {version}, this one reads up to "
            f"{VERSION}): upgrade"
        )
    if manifest.get("digest") != manifest_digest(manifest):
        raise BundleError(
            f"{MANIFEST} was changed after the bundle was written: its digest does not match"
        )
    _check_entries(manifest.get("files"))
    return manifest


def _or_nearest(folder: Path) -> str:
    """What may have been meant: a bundle or a run directory in the folder, else the one beside it
    or in ``runs`` with the nearest name, else those that there are.
    """
    inside = _servable(folder)
    if inside:
        return f": it holds {_listed(inside)}"
    beside = _servable(folder.parent) + [
        p for p in _servable(Path("runs")) if folder.parent != Path("runs")
    ]
    close = nearest(folder.name, [place.name for place in beside])
    if close is not None:
        return f" - did you mean {str(next(place for place in beside if place.name == close))!r}?"
    return f" - known: {_listed(beside)}" if beside else ""


def _servable(folder: Path) -> list[Path]:
    """The bundles, and the run directories with one, that lie in a folder."""
    try:
        places = sorted(
            place for place in folder.iterdir() if place.is_dir() and not place.name.startswith(".")
        )
    except OSError:  # no folder, or one that cannot be read
        return []
    return [
        p
        for p in places
        if (p / MANIFEST).is_file()
        or ((p / LEDGER).is_file() and any(p.glob(f"*.winnow/{MANIFEST}")))
    ]


def _listed(places: list[Path]) -> str:
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ", ".join(map(str, places[:5])) + more


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of everything in the manifest but this digest itself. It finds changes; it does
    not prove who wrote them.
    """
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return digest_of(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def _check_entries(files: Any) -> None:
    if not isinstance(files, dict):
        raise BundleError(
            f"{MANIFEST}: expected `files` to be an object, found {type(files).__name__}"
        )
    known = (MODEL, WEIGHTS, PREPARATION, RECIPE)
    for name, entry in files.items():
        if name not in known:  # so no path can lead out of the folder, either
            raise BundleError(
                f"{MANIFEST} lists {name!r}, which is no file of a bundle: expected "
                f"{', '.join(known)}"
            )
        size, digest = (
            (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        )
        if not isinstance(size, int) or size < 0 or not isinstance(digest, str):
            raise BundleError(
                f"{MANIFEST}: expected `bytes` and `sha256` for {name}, found {entry!r}"
            )
    for name in (MODEL, PREPARATION):
        if name not in files:
            raise BundleError(f"{MANIFEST} does not list {name}, which every bundle has")


def read_file(folder: Path, name: str, manifest: Mapping[str, Any]) -> bytes:
    """A file of the bundle, with the size and the digest that the manifest says.

    Raises:
        BundleError: missing, a link, too large, or changed.
    """
    with _open_listed(folder, name, manifest) as file:
        content = file.read()
    _check_digest(name, digest_of(content), manifest)
    return content


def check_file(folder: Path, name: str, manifest: Mapping[str, Any]) -> None:
    """As ``read_file``, for a file that is not needed now: it is read in pieces and forgotten."""
    with _open_listed(folder, name, manifest) as file:
        _check_digest(name, hashlib.file_digest(file, "sha256").hexdigest(), manifest)


def _check_digest(name: str, digest: str, manifest: Mapping[str, Any]) -> None:
    if digest != manifest["files"][name]["sha256"]:
        raise BundleError(
            f"{name} was changed after the bundle was written: its SHA-256 does not match the "
            f"manifest"
        )


def _open_listed(folder: Path, name: str, manifest: Mapping[str, Any]) -> BufferedReader:
    entry = manifest["files"].get(name)
    if entry is None:
        raise BundleError(f"the bundle {folder} has no {name}")
    file = _open_plain(folder / name, LARGEST.get(name))
    size = os.fstat(file.fileno()).st_size
    if size != entry["bytes"]:
        file.close()
        raise BundleError(
            f"{name} was changed after the bundle was written: it has {size:,} bytes, the "
            f"manifest says {entry['bytes']:,}"
        )
    return file


def _open_plain(path: Path, largest: int | None) -> BufferedReader:
    """Open a regular file that is no link; anything else - a pipe, a device - is refused before
    it is read.
    """
    flags = (
        os.O_RDONLY
        | getattr(os, "O_NOFOLLOW", 0)
        | getattr(os, "O_NONBLOCK", 0)
        | getattr(os, "O_BINARY", 0)
    )
    try:
        if path.is_symlink():
            raise BundleError(f"{path.name} is a link; a bundle holds plain files only")
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise BundleError(f"{path.name} is missing from the bundle {path.parent}") from None
    except OSError as error:
        raise BundleError(f"cannot read {path.name}: {error.strerror}") from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise BundleError(f"{path.name} is not a plain file")
    if largest is not None and status.st_size > largest:
        os.close(handle)
        raise BundleError(f"{path.name} has {status.st_size:,} bytes, at most {largest:,} are read")
    return open(handle, "rb")
