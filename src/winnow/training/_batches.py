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
from winnow.methods import Batch
from winnow.recipe import derive_seed
from winnow.trees import Tree, leaves, map_tree

_CPU = torch.device("cpu")

__all__ = ["BaseBatches", "InMemoryBatches", "StreamedBatches", "head_batch", "open_batches"]


class BaseBatches(ABC):
    """The batches of one fleet; to be closed."""

    @abstractmethod
    def epoch(self, epoch: int, seeds: Sequence[int], *, size: int, steps: int) -> Iterator[Batch]:
        """Yield the batch of each step of an epoch.

        Args:
            epoch: its number, from 0.
            seeds: of the members, (V,).
            size: rows of a batch; the last of an epoch may be smaller.
            steps: batches that are taken.
        """

    @abstractmethod
    def validation(self, size: int) -> Iterator[tuple[Tree, Tree]]:
        """Yield inputs and targets, each (B, ...), of all validation rows, at most ``size`` at a
        time.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of what was opened."""


class InMemoryBatches(BaseBatches):
    """Tensors that hold every row. A member's order follows from its seed and the epoch alone."""

    def __init__(self, prepared: PreparedData, dtype: torch.dtype, device: torch.device) -> None:
        def there(tree: Tree) -> Tree:
            return map_tree(lambda tensor: tensor.to(device), tree)

        self._x, self._y = there(prepared.tensors("train", dtype))
        self._validation = there(prepared.tensors("validation", dtype))
        weights = prepared.train.weights if isinstance(prepared.train, Rows) else None
        self._weights = None if weights is None else torch.tensor(weights).to(device, dtype)
        self._device, self._num_rows = device, len(prepared.train)

    def epoch(self, epoch: int, seeds: Sequence[int], *, size: int, steps: int) -> Iterator[Batch]:
        orders = [_order(seed, epoch, self._num_rows) for seed in seeds]
        order_VN = torch.stack(orders).to(self._device)
        for rows_VB in order_VN.split(size, dim=1)[:steps]:
            weights = None if self._weights is None else self._weights[rows_VB]
            yield Batch(_gathered(self._x, rows_VB), _gathered(self._y, rows_VB), weights)

    def validation(self, size: int) -> Iterator[tuple[Tree, Tree]]:
        for start in range(0, len(leaves(self._validation)[0]), size):
            stop = start + size
            x, y = map_tree(lambda tensor: tensor[start:stop], self._validation)  # noqa: B023
            yield x, y

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

    def epoch(self, epoch: int, seeds: Sequence[int], *, size: int, steps: int) -> Iterator[Batch]:
        order_N = _order(self._seed, epoch, len(self._train))[: size * steps].numpy()
        for x, y in self._train.batches(size, order=order_N, loader=self._loader):
            rows = Batch(*self._typed(x, y, self._dtype)).map(lambda t: t.to(self._device))
            yield rows.map(lambda t: t.expand(len(seeds), *t.shape))

    def validation(self, size: int) -> Iterator[tuple[Tree, Tree]]:
        for x, y in self._validation.batches(min(size, self._most), loader=self._loader):
            typed = self._typed(x, y, self._dtype)
            inputs, targets = map_tree(lambda tensor: tensor.to(self._device), typed)
            yield inputs, targets

    def close(self) -> None:
        self._stream.give_back(self._loader)


def open_batches(
    prepared: PreparedData, dtype: torch.dtype, seed: int, device: torch.device = _CPU
) -> BaseBatches:
    """Return the batches of a fleet.

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


def head_batch(prepared: PreparedData, size: int, dtype: torch.dtype) -> Batch:
    """Return the first training rows as one batch without members, each (batch, ...), to try a
    program on.

    Args:
        prepared: the data.
        size: rows, or all where there are fewer.
        dtype: of features, weights, and of the target of a regression.
    """
    inputs, targets = prepared.head("train", size, dtype)
    weights = prepared.train.weights if isinstance(prepared.train, Rows) else None
    own = None if weights is None else torch.tensor(weights[:size]).to(dtype)
    return Batch(inputs, targets, own)


def _gathered(tree: Tree, rows_VB: Tensor) -> Tree:
    """Return the rows that each member draws, each (variants, batch, ...)."""

    def rows_of(tensor: Tensor) -> Tensor:
        drawn = tensor.index_select(0, rows_VB.flatten())
        return drawn.view(*rows_VB.shape, *tensor.shape[1:])

    return map_tree(rows_of, tree)


def _order(seed: int, epoch: int, num_rows: int) -> Tensor:
    """Return the order of the training rows in one epoch, a function of seed and epoch alone."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(num_rows, generator=generator)
