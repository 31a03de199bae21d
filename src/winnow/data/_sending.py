"""A reader of datasets on its way to another process: what lies in a file goes by its place in it,
and no copy is larger than a limit.
"""

from __future__ import annotations

import io
import mmap
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from winnow.data._items import Reader, Wrong
from winnow.errors import DataError, kind_and_line
from winnow.trees import Tree

__all__ = ["Sent", "pack"]


LARGEST_COPY = 2**28  # bytes of a dataset that are sent to a process


def pack(reader: Reader) -> bytes:
    """Return the reader as its copies travel to the processes that read.

    A memory-mapped array goes by the name of its file.

    Raises:
        DataError: the dataset cannot be pickled, or is so large that it should not be copied.
    """
    sink = _Sink()
    try:
        _Packer(sink, protocol=5).dump(reader)
    except _TooLarge:
        raise DataError(
            f"data.workers: a copy of the dataset goes to each process, and it takes more than "
            f"{LARGEST_COPY // 2**20} MiB: let it hold file names or np.memmap, and read in "
            f"__getitem__; or workers: 0"
        ) from None
    except Exception as error:  # what pickling raises depends on what cannot be pickled
        raise DataError(
            f"data.workers: the dataset must go to other processes and cannot be pickled "
            f"({kind_and_line(error)}): define its class and functions at the top of a module, and "
            f"open files in __getitem__; or workers: 0"
        ) from error
    return sink.getvalue()


class _TooLarge(Exception):
    """A dataset takes more bytes than are sent to a process."""


class _Sink(io.BytesIO):
    """Bytes in memory, up to ``LARGEST_COPY``."""

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > LARGEST_COPY:
            raise _TooLarge
        return super().write(data)


class _Packer(pickle.Pickler):
    """Pickles memory-mapped arrays as the names of their files."""

    def reducer_override(self, value: Any) -> Any:
        """Return how to open a map again; for all else, leave it to pickle."""
        if type(value) is not np.memmap or not _is_of_a_file(value):
            return NotImplemented
        place = str(Path(value.filename or "").resolve())
        order = "C" if value.flags.c_contiguous else "F"
        mode = "r" if value.mode == "r" else "r+"  # to open with w+ empties the file
        return _mapped, (place, value.dtype, mode, value.offset, value.shape, order)


def _is_of_a_file(value: np.memmap) -> bool:
    """Say whether a map can be opened again by the name of its file.

    A view of a map does not know where in the file it begins, and a private copy is in no file.
    """
    is_whole = isinstance(value.base, mmap.mmap)
    return is_whole and value.mode != "c" and bool(value.filename)


def _mapped(
    name: str, dtype: np.dtype, mode: Any, offset: int, shape: tuple[int, ...], order: Any
) -> np.ndarray:
    return np.memmap(name, dtype=dtype, mode=mode, offset=offset, shape=shape, order=order)


class Sent:
    """A reader in another process.

    It is unpacked when it is first asked, since what fails then can be told.
    """

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._reader: Reader | None = None

    def __getitem__(self, key: tuple[str, np.ndarray]) -> tuple[Tree, Tree] | Wrong:
        if self._reader is None:
            try:
                self._reader = pickle.loads(self._packed)
            except Exception as error:  # whatever the user's classes may raise
                return Wrong(
                    f"data.workers: the dataset cannot be opened in another process "
                    f"({kind_and_line(error)}): define its class in a module that can be imported; "
                    f"or workers: 0"
                )
        return self._reader[key]
