"""How many threads an operation of PyTorch uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["threads_of_torch"]


@contextmanager
def threads_of_torch(number: int) -> Iterator[None]:
    """Inside, an operation of PyTorch runs on so many cores, in this thread and in those that it
    starts.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
