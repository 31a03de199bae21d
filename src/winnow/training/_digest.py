"""A digest of every member's outputs, added up on the device so that no outputs are kept.

Axes: V members, B rows of a piece, N all rows, C outputs.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["OutputDigest"]

_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}
_STIR = -0x61C8864680B583EB  # an odd number: 2**64 over the golden ratio, as a signed one


class OutputDigest:
    """A sum modulo 2**64 over all outputs: the bits of each, stirred, times an odd number that
    belongs to its row and column.

    Equal outputs have equal digests, in whatever pieces they are added: integers have no rounding.
    Outputs that differ anywhere have different ones but by a chance of about 2**-32 at most (and
    2**-64 as a rule), unless somebody looks for such a pair.

    Args:
        rows: N that will be added.
        device: that the outputs lie on.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self._row_N1 = torch.from_numpy(_odd_numbers(rows, stream=1)).unsqueeze(1).to(device)
        self._column_C = torch.empty(0, dtype=torch.int64, device=device)
        self._sum_V: Tensor | int = 0
        self._start = 0

    def begin(self) -> None:
        """Forget what was added."""
        self._sum_V, self._start = 0, 0

    def add(self, outputs_VBC: Tensor) -> None:
        """Count the next rows in."""
        rows, columns = outputs_VBC.shape[1:]
        if len(self._column_C) != columns:
            self._column_C = torch.from_numpy(_odd_numbers(columns, stream=2)).to(self._column_C)
        bits_VBC = outputs_VBC.view(_INTEGERS[outputs_VBC.dtype]).to(torch.int64, copy=True)
        # Else a sign bit, at the top, would meet few bits of the factor
        bits_VBC.mul_(_STIR).bitwise_xor_(bits_VBC >> 32)
        weight_BC = self._row_N1[self._start : self._start + rows] * self._column_C
        self._sum_V = self._sum_V + bits_VBC.mul_(weight_BC).sum(dim=(1, 2))
        self._start += rows

    def values(self) -> Tensor:
        """Return the digest of each member, (variants,) int64."""
        return torch.as_tensor(self._sum_V)

    @staticmethod
    def text(value: int) -> str:
        """One of ``values`` as 16 hex digits."""
        return f"{value % 2**64:016x}"


def _odd_numbers(count: int, *, stream: int) -> NDArray[np.int64]:
    """Return odd numbers without a pattern, (count,), the same everywhere.

    Source: SplitMix64 (Steele, Lea and Flood, 2014).
    """
    with np.errstate(over="ignore"):
        z = (np.arange(count, dtype=np.uint64) + np.uint64(stream << 40)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) | np.uint64(1)).view(np.int64)
