"""Files that are whole or not there: written aside, flushed to the disk, and moved into place.

Whoever reads a file meanwhile, or after the process was killed in the middle, finds the old one or
the new one, never half of one. What a kill leaves is a hidden file beside it, which
``remove_leftovers`` takes away.

Tables that are written as CSV go through ``without_formulas`` before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "as_text",
    "is_torn",
    "remove_leftovers",
    "sync_folder",
    "without_formulas",
    "write_aside",
    "written_aside",
]

_ENDING = ".part"
# What a spreadsheet takes for a formula, which may run programs and send data away (OWASP, "CSV
# injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """A place to write to, whose file takes that of ``path`` at the end of the block; if the block
    fails, ``path`` stays as it was. A link's target is replaced, not the link; a pipe or a device
    is written to as it is.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        yield path
        return
    # A name of its own: others may be writing the same file
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}{_ENDING}")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())  # before the name says that it is there
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_aside(path: str | Path, content: str | bytes) -> None:
    """Make ``path`` a file of this content, text as UTF-8.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def is_torn(content: bytes) -> bool:
    """Whether a text that was written in whole lines has lost its end, as after a crash: what
    follows half a line is nothing, or zeros.
    """
    return not content.rstrip(b"\0").endswith(b"\n")


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes were writing in a folder. Nobody else may be writing there."""
    for left in folder.glob(f".*{_ENDING}"):
        with contextlib.suppress(OSError):
            left.unlink()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; nothing where folders cannot be opened (Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of file systems that cannot
            raise
    finally:
        os.close(handle)


def as_text(text: str) -> str:
    """``text``, with an apostrophe before it where a spreadsheet would take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def without_formulas(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its text and the names of its columns as ``as_text`` gives them; numbers
    stay numbers.
    """
    import polars as pl

    columns = [
        pl.Series(s.name, [None if text is None else as_text(text) for text in s], dtype=pl.String)
        if s.dtype == pl.String
        else s
        for s in frame.get_columns()
    ]
    return pl.DataFrame([series.alias(as_text(series.name)) for series in columns])
