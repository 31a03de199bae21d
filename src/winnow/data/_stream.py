"""Rows that stay where they are: read in batches through a ``DataLoader``.

Loaded only where there are datasets, because it needs PyTorch and reading a bundle does not.

Axes: N rows of a part, B rows of a batch, F features (any number of axes).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from winnow.data._columns import rows_at_once
from winnow.data._items import Reader, Wrong
from winnow.data._sending import Sent
from winnow.errors import DataError, kind_and_line
from winnow.trees import Input, Tree, main, map_tree

__all__ = ["Loader", "Stream", "StreamedFeatures", "StreamedRows"]


@dataclass(frozen=True)
class Stream:
    """Where batches come from; fleets in several threads may share it.

    Loaders are kept for the next who asks, since to start their processes takes seconds; these end
    with the stream.

    Attributes:
        reader: reads them.
        workers: processes that read ahead; 0: this one reads when it is asked.
        packed: the reader as it travels to them; None without.
    """

    reader: Reader
    workers: int = 0
    packed: bytes | None = field(default=None, repr=False)
    _idle: list[Loader] = field(default_factory=list, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def read(self, part: str, positions: np.ndarray) -> tuple[Tree, Tree]:
        """Return what ``Reader.read`` gives, read in this process.

        One thread reads at a time: a dataset may go to a place in a file, then read there.
        """
        with self._lock:
            return self.reader.read(part, positions)

    def __getitem__(self, key: tuple[str, np.ndarray]) -> tuple[Tree, Tree] | Wrong:
        """Return what ``read`` gives, or what is wrong, for a loader without processes."""
        with self._lock:
            return self.reader[key]

    def take(self) -> Loader:
        """Return a loader that nobody else has; it is to be given back."""
        try:
            return self._idle.pop()
        except IndexError:
            return Loader(self)

    def give_back(self, loader: Loader) -> None:
        """Keep a loader for the next who asks.

        One whose pass did not come to its end is dropped, and its processes end.
        """
        if not loader.is_busy:
            self._idle.append(loader)


class Loader:
    """One ``DataLoader`` for any number of passes, one after another.

    Its processes start with the first and live as long as it. At most two batches for each process
    are read ahead.

    Args:
        stream: what it reads from.

    Attributes:
        is_busy: whether a pass has begun and not come to its end.
    """

    def __init__(self, stream: Stream) -> None:
        workers = stream.workers
        self.is_busy = False
        self._keys = _Keys()
        self._workers = workers
        self._loader: DataLoader = DataLoader(
            Sent(stream.packed) if stream.packed is not None else stream,  # type: ignore[arg-type]
            batch_size=None,  # an item of the reader is a batch
            sampler=self._keys,
            num_workers=workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # else it draws from PyTorch's global one
            persistent_workers=workers > 0,
            # To fork a process with threads can hang it
            multiprocessing_context="spawn" if workers else None,
        )

    def batches(self, part: str, positions: Iterable[np.ndarray]) -> Iterator[tuple[Tree, Tree]]:
        """Yield inputs, each (B, *F), and targets, each (B, ...).

        Args:
            part: whose dataset is read.
            positions: of the items of each batch, in order.

        Raises:
            DataError: for an item that cannot be read or does not fit, and for a process that ends.
        """
        self.is_busy = True
        self._keys.part, self._keys.positions = part, positions
        try:
            for found in self._loader:
                if isinstance(found, Wrong):
                    raise DataError(found.message)
                yield found
            self.is_busy = False
        except RuntimeError as error:
            if not self._workers or "worker" not in str(error):
                raise
            raise DataError(
                f"data.workers: a process that reads the dataset ended ({kind_and_line(error)}). "
                f"Out of memory? In a script, what starts winnow must stand under "
                f"`if __name__ == '__main__':`"
            ) from error


class _Keys:
    """What a loader is to read next."""

    part: str = ""
    positions: Iterable[np.ndarray] = ()

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        return ((self.part, rows) for rows in self.positions)


def _as_it_is(found: Any) -> Any:
    return found


# -- parts -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamedRows:
    """One part of rows that are read when they are needed; the other kind is ``Rows``.

    Attributes:
        part: its name.
        stream: where it is read.
        index: (N,) number of each row in its dataset, from 0.
    """

    part: str
    stream: Stream
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def X(self) -> StreamedFeatures:  # noqa: N802 - as in Rows
        """Features (N, *in_shape), read when they are indexed."""
        return StreamedFeatures(self)

    @cached_property
    def y(self) -> np.ndarray:
        """Main targets (N,) as int64 or float32: every item is read once, and these are kept."""
        size = rows_at_once(self.stream.reader.values)
        y = torch.cat([main(y_B) for _, y_B in self.batches(size)])
        return y.numpy() if self.stream.reader.task == "classification" else y.float().numpy()

    def batches(
        self, size: int, *, order: np.ndarray | None = None, loader: Loader | None = None
    ) -> Iterator[tuple[Tree, Tree]]:
        """Yield inputs, each (B, *F), and targets, each (B, ...), as in the dataset.

        Args:
            size: rows at a time, the last batch may have fewer.
            order: of the rows that are wanted; None: all, in order.
            loader: what reads; None: one for these batches.

        Raises:
            DataError: for an item that cannot be read or does not fit.
        """
        index = self.index if order is None else self.index[order]
        own = loader or self.stream.take()
        yield from own.batches(self.part, pieces(index, size))
        if loader is None:
            self.stream.give_back(own)

    def read(self, rows: slice | np.ndarray) -> tuple[Tree, Tree]:
        """Return inputs, each (B, *F), and targets, each (B, ...), of some rows.

        Args:
            rows: which of this part; they are read at once in this process.
        """
        return self.stream.read(self.part, self.index[rows])


class StreamedFeatures:
    """Features of a part that is not in memory.

    A slice or positions give those rows, as an array (n, *shape) or a tree of arrays.

    Args:
        rows: the part.

    Attributes:
        shape: rows and the shape of a row; of several inputs, rows and the values of all in a row.
    """

    def __init__(self, rows: StreamedRows) -> None:
        self._rows = rows
        reader = rows.stream.reader
        is_one = isinstance(reader.inputs, Input)
        of_a_row = reader.inputs.shape if is_one else (reader.values,)
        self.shape = (len(rows), *of_a_row)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: slice | np.ndarray) -> Tree:
        found, _ = self._rows.read(which)
        inputs = self._rows.stream.reader.inputs

        def as_array(tensor: Tensor, one: Input) -> np.ndarray:
            return (tensor.float() if one.is_float else tensor).numpy()

        return map_tree(as_array, found, inputs)


def pieces(index: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Return ``index`` (N,) in consecutive pieces of ``size``, of which the last may be shorter."""
    return (index[start : start + size] for start in range(0, len(index), size))
