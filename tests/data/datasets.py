"""Datasets that the tests of streamed data share. In a module, so that other processes find
their classes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset

FEATURES, CLASSES = 6, 3


class Made(Dataset):
    """``rows`` items made from their number: x (6,) and a class, or a number where
    ``quantity``. Counts what is read.
    """

    def __init__(self, rows: int = 90, *, quantity: bool = False, start: int = 0) -> None:
        self.rows, self.quantity, self.start = rows, quantity, start
        self.reads = 0

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, i: int) -> tuple[torch.Tensor, Any]:
        self.reads += 1
        if not 0 <= i < self.rows:
            raise IndexError(i)
        rng = np.random.default_rng(self.start + i)
        label = (self.start + i) % CLASSES
        x = rng.normal(size=FEATURES) + label
        return torch.from_numpy(x), float(x.sum()) if self.quantity else label


class Mapped(Dataset):
    """A memory-mapped pair of .npy files."""

    def __init__(self, folder: Path) -> None:
        self.x, self.y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xy")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.x[i], self.y[i]


class Together(Made):
    """Items fetched several at once, as PyTorch's ``__getitems__`` allows."""

    def __getitems__(self, numbers: list[int]) -> list[tuple[torch.Tensor, Any]]:
        return [super(Together, self).__getitem__(i) for i in numbers]


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(3), 0


class Changed(Made):
    """``Made`` but for one item, which ``change`` gives."""

    def __init__(self, at: int, change: Any, rows: int = 90) -> None:
        super().__init__(rows)
        self.at, self.change = at, change

    def __getitem__(self, i: int) -> Any:
        return self.change if i == self.at else super().__getitem__(i)


class Raising(Made):
    def __getitem__(self, i: int) -> Any:
        if i == self.rows // 2:
            raise OSError("no such frame")
        return super().__getitem__(i)


class Moody(Made):
    def __getitem__(self, i: int) -> Any:
        return torch.rand(FEATURES), i % CLASSES


class Unlucky(Made):
    """In another process than the one that made it, item 1 has a label too many, and item 2
    ends the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.home = os.getpid()

    def __getitem__(self, i: int) -> Any:
        if os.getpid() != self.home and i == 2:
            os._exit(3)
        x, y = super().__getitem__(i)
        return x, CLASSES if os.getpid() != self.home and i == 1 else y


def parts() -> dict[str, Made]:
    """For ``data.source``: three datasets."""
    return {"train": Made(60), "validation": Made(30, start=1000), "test": Made(30, start=2000)}
