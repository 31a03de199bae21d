"""Noise as a function: a counter-based hash of (seed, purpose, step, element), the same on every device, in every fleet,
compiled or not.

A generator's numbers depend on who drew before; a hash's do not. That is what lets a member of a fleet see exactly the
dropout masks it would see alone. Axes: V members, L noisy layers, S steps.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["drop_threshold", "dropout_keep", "noise_keys"]


def noise_keys(seeds_V: list[int], num_layers: int, steps: range, *, purpose: str = "dropout") -> NDArray[np.int32]:
    """Two 32-bit keys for every step, member and layer.

    Returns:
        int32, (steps, variants, layers, 2).

    Source: the SplitMix64 finaliser (Steele et al. 2014) over a 64-bit digest of (seed, purpose) offset by step and layer.
    """
    roots = [int.from_bytes(hashlib.blake2b(f"{purpose}:{s}".encode(), digest_size=8).digest(), "little") for s in seeds_V]
    counter = (
        np.array(roots, np.uint64)[None, :, None]
        + np.arange(steps.start, steps.stop, dtype=np.uint64)[:, None, None] * np.uint64(0x9E3779B97F4A7C15)
        + np.arange(num_layers, dtype=np.uint64)[None, None, :] * np.uint64(0xD1B54A32D192ED03)
    )
    z = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).view(np.int32).reshape(*counter.shape, 2)


def drop_threshold(rate: float) -> int:
    """The 31-bit threshold below which an element is dropped at ``rate`` in [0, 1)."""
    return round(rate * 2**31)


def dropout_keep(shape: torch.Size, key: Tensor, threshold: Tensor) -> Tensor:
    """Which elements survive dropout: each is dropped with probability ``threshold / 2 ** 31``, independently.

    Args:
        shape: of the activations of one member, or with ones where elements share their fate.
        key: int32, (2,).
        threshold: int32, scalar, see ``drop_threshold``.

    Returns:
        bool, of ``shape``.

    Source: the 32-bit finaliser ``lowbias32`` (Wellons 2018, "Prospecting for Hash Functions") over a Weyl sequence, the
    second key mixed in between its two rounds. Shifts are masked because ``>>`` on int32 carries the sign.
    """
    h = torch.arange(shape.numel(), dtype=torch.int32, device=key.device)
    h = h * -1640531527 + key[0]
    h = (h ^ ((h >> 16) & 0xFFFF)) * 0x7FEB352D
    h = h ^ key[1]
    h = (h ^ ((h >> 15) & 0x1FFFF)) * -2073254261
    h = h ^ ((h >> 16) & 0xFFFF)
    return ((h & 0x7FFFFFFF) >= threshold).reshape(shape)
