"""How the files of a bundle are written: all or nothing."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from winnow.bundle._files import FILES, MANIFEST
from winnow.bundle._find import is_bundle
from winnow.errors import BundleError
from winnow.files import sync_folder

__all__ = ["clean_up", "write_folder"]

# Folders that a process which was killed while it wrote may have left behind
_LEFT = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(new|old)")
MOST_NAMES = 5  # of files that a message lists


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make ``path`` a folder with exactly ``files``. An older bundle is replaced.

    The files are first written aside and onto the disk, then moved into place by renaming. Whoever
    reads ``path`` meanwhile finds the old bundle, the new one, or between two renamings none; never
    half of one.

    Args:
        path: the folder.
        files: contents by name.

    Raises:
        BundleError: ``path`` is something else than a bundle or an empty folder, or holds files
            that are not the bundle's.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    _check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex[:8]
    new = path.with_name(f".{path.name}.{mark}.new")
    old = path.with_name(f".{path.name}.{mark}.old")
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
    """Refuse to write over anything of the user's."""
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
            f"{path} exists and is not a bundle (it holds {', '.join(inside[:MOST_NAMES])}): "
            f"choose another name"
        )
    foreign = [name for name in inside if name not in (MANIFEST, *FILES)]
    if foreign:
        raise BundleError(
            f"{path} is a bundle but also holds {', '.join(foreign[:MOST_NAMES])}: move that away "
            f"first, it would be lost"
        )


def clean_up(folder: Path) -> None:
    """Put right what a process that was killed while it wrote a bundle into ``folder`` has left
    there. Nobody may be writing.

    A bundle that was moved out of the way and has no successor yet is moved back: it is the only
    copy.
    """
    for left in sorted(folder.glob(".*.old")):
        match = _LEFT.fullmatch(left.name)
        if match is None or not left.is_dir():
            continue
        place = folder / match["name"]
        if not place.exists():
            left.rename(place)
    for left in folder.glob(".*"):
        if _LEFT.fullmatch(left.name) and left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
