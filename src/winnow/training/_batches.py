"""What feeds a fleet: rows in memory, which each member draws in an order of its own, or streamed
ones, which all see together.

Axes: V members still training, B batch, N rows, F features (any number of axes).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from winnow.data import PreparedData, Rows
from winnow.recipe import derive_seed

_CPU = torch.device("cpu")

__all__ = ["BaseBatches", "InMemoryBatches", "StreamedBatches", "open_batches"]


class BaseBatches(ABC):
    """The batches of one fleet; to be closed."""

    @abstractmethod
    def epoch(
        self, epoch: int, seeds: Sequence[int], *, size: int, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """x (V, B, *F) and y (V, B) of each step of an epoch.

        Args:
            epoch: its number, from 0.
            seeds: of the members, (V,).
            size: rows of a batch; the last of an epoch may be smaller.
            steps: batches that are taken.
        """

    @abstractmethod
    def validation(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """x (B, *F) and y (B,) of all validation rows, at most ``size`` at a time."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what was opened."""


class InMemoryBatches(BaseBatches):
    """Tensors that hold every row. A member's order follows from its seed and the epoch alone."""

    def __init__(self, prepared: PreparedData, dtype: torch.dtype, device: torch.device) -> None:
        self._x, self._y = (t.to(device) for t in prepared.tensors("train", dtype))
        self._validation = tuple(t.to(device) for t in prepared.tensors("validation", dtype))

    def epoch(
        self, epoch: int, seeds: Sequence[int], *, size: int, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order_VN = torch.stack([_order(seed, epoch, len(self._x)) for seed in seeds]).to(
            self._x.device
        )
        for rows_VB in order_VN.split(size, dim=1)[:steps]:
            x_VBF = self._x.index_select(0, rows_VB.flatten()).view(
                *rows_VB.shape, *self._x.shape[1:]
            )
            yield x_VBF, self._y[rows_VB]

    def validation(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(*(t.split(size) for t in self._validation), strict=True)

    def close(self) -> None:
        pass


class StreamedBatches(BaseBatches):
    """Batches that are read once for all members. Their order follows from the data's seed and the
    epoch: a variant's own has no part in it, so that a member sees the same batches alone and in
    any fleet.
    """

    def __init__(
        self, prepared: PreparedData, dtype: torch.dtype, seed: int, device: torch.device
    ) -> None:
        assert not isinstance(prepared.train, Rows)
        assert not isinstance(prepared.validation, Rows)
        self._train, self._validation = prepared.train, prepared.validation
        self._typed, self._most = prepared.typed, prepared.rows_at_once
        self._dtype, self._seed, self._device = dtype, seed, device
        self._stream = prepared.train.stream
        self._loader = self._stream.take()

    def epoch(
        self, epoch: int, seeds: Sequence[int], *, size: int, steps: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order_N = _order(self._seed, epoch, len(self._train))[: size * steps].numpy()
        for x, y in self._train.batches(size, order=order_N, loader=self._loader):
            x_BF, y_B = (t.to(self._device) for t in self._typed(x, y, self._dtype))
            yield x_BF.expand(len(seeds), *x_BF.shape), y_B.expand(len(seeds), *y_B.shape)

    def validation(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self._validation.batches(min(size, self._most), loader=self._loader):
            x_BF, y_B = (t.to(self._device) for t in self._typed(x, y, self._dtype))
            yield x_BF, y_B

    def close(self) -> None:
        self._stream.give_back(self._loader)


def open_batches(
    prepared: PreparedData, dtype: torch.dtype, seed: int, device: torch.device = _CPU
) -> BaseBatches:
    """The batches of a fleet.

    Args:
        prepared: its rows.
        dtype: of features, and of the target of a regression.
        seed: of the data's split; orders rows that are streamed.
        device: that the batches lie on; rows in memory lie there as a whole.
    """
    return (
        StreamedBatches(prepared, dtype, seed, device)
        if prepared.is_streamed
        else InMemoryBatches(prepared, dtype, device)
    )


def _order(seed: int, epoch: int, num_rows: int) -> Tensor:
    """The order of the training rows in one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(num_rows, generator=generator)
