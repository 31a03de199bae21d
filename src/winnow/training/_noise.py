"""Noise as a function: a counter-based hash of (seed, purpose, step, element), the same on every
device, in every fleet, compiled or not.

A generator's numbers depend on who drew before; a hash's do not. That is what lets a member of a
fleet see exactly the dropout masks it would see alone. Axes: V members, L noisy layers, S steps.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["drop_scale", "drop_threshold", "dropout_keep", "noise_keys", "uniforms", "uniforms_as"]


def noise_keys(
    seeds_V: list[int], num_layers: int, steps: range, *, purpose: str = "dropout"
) -> NDArray[np.int32]:
    """Return two 32-bit keys for every step, member and layer.

    Returns:
        int32, (steps, variants, layers, 2).

    Source: the SplitMix64 finalizer (Steele et al. 2014) over a 64-bit digest of (seed, purpose)
    offset by step and layer.
    """
    roots = [
        int.from_bytes(hashlib.blake2b(f"{purpose}:{s}".encode(), digest_size=8).digest(), "little")
        for s in seeds_V
    ]
    counter = (
        np.array(roots, np.uint64)[None, :, None]
        + np.arange(steps.start, steps.stop, dtype=np.uint64)[:, None, None]
        * np.uint64(0x9E3779B97F4A7C15)
        + np.arange(num_layers, dtype=np.uint64)[None, None, :] * np.uint64(0xD1B54A32D192ED03)
    )
    z = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z ^ (z >> np.uint64(31))).view(np.int32).reshape(*counter.shape, 2)


def drop_threshold(rate: float) -> int:
    """Return the signed 32-bit number below which an element is dropped at ``rate`` in [0, 1].

    Rates are multiples of 2 ** -16: the nearest, but 0 and 1 only for 0 and 1 themselves.
    """
    if rate in (0, 1):
        return int(rate * (2**32 - 1)) - 2**31
    return min(max(round(rate * 2**16), 1), 2**16 - 1) * 2**16 - 2**31


def drop_scale(threshold: int) -> float:
    """Return what survivors are multiplied by, so that the mean of an element stays: one over the
    share that ``threshold`` keeps.
    """
    kept = (2**31 - threshold) >> 16
    return 2**16 / kept if kept else 0.0


def dropout_keep(shape: torch.Size, key: Tensor, threshold: Tensor | int) -> Tensor:
    """Return which elements survive dropout: each is dropped with the probability that
    ``threshold`` stands for, independently.

    Each hash serves two elements, its upper half one in the first half of the elements, its lower
    half one in the second.

    Args:
        shape: of the activations of one member, or with ones where elements share their fate.
        key: int32, (2,).
        threshold: int32, scalar, see ``drop_threshold``.

    Returns:
        bool, of ``shape``.

    Source: the 32-bit finalizer ``lowbias32`` (Wellons 2018, "Prospecting for Hash Functions") over
    a Weyl sequence, the second key mixed in between its two rounds. Shifts are masked because
    ``>>`` on int32 carries the sign. Its last step, which mixes the upper half into the lower, is
    made for the lower half alone; the upper sixteen bits of a number decide whether it lies below
    the threshold, whose own lower ones are zero.
    """
    size = shape.numel()
    h = (
        torch.arange((size + 1) // 2, dtype=torch.int32, device=key.device).mul_(-1640531527)
        + key[0]
    )
    h.bitwise_xor_((h >> 16).bitwise_and_(0xFFFF)).mul_(0x7FEB352D)
    h.bitwise_xor_(key[1])
    h.bitwise_xor_((h >> 15).bitwise_and_(0x1FFFF)).mul_(-2073254261)
    # Put together before they are compared: compiled, that is twice as fast
    halves = torch.stack([h, (h << 16).bitwise_xor_(h)])
    return (halves >= threshold).flatten()[:size].reshape(shape)


def uniforms(keys_V2: Tensor, size: int, *, call: int) -> Tensor:
    """Return numbers that are uniform in (0, 1), (variants, size), in double precision.

    Args:
        keys_V2: int32, (variants, 2).
        size: numbers of each member.
        call: another number gives other ones under the same keys.

    Source: ``lowbias32`` as in ``dropout_keep``; the 2 ** 32 values lie at the middles of as many
    equal cells, so neither end occurs.
    """
    counter = torch.arange(size, dtype=torch.int32, device=keys_V2.device) * -1640531527
    h = counter + keys_V2[:, :1] + call * 374761393
    h = (h ^ ((h >> 16) & 0xFFFF)) * 0x7FEB352D
    h = h ^ keys_V2[:, 1:]
    h = (h ^ ((h >> 15) & 0x1FFFF)) * -2073254261
    h = h ^ ((h >> 16) & 0xFFFF)
    return (h.double() + (2**31 + 0.5)) / 2**32


def uniforms_as(keys_V2: Tensor, size: int, *, call: int, dtype: torch.dtype) -> Tensor:
    """Return ``uniforms`` in another precision, still in (0, 1), and so that ``2 * u - 1`` is in
    (-1, 1): the outermost would round to an end, where a quantile is infinite.
    """
    eps = torch.finfo(dtype).eps
    return uniforms(keys_V2, size, call=call).to(dtype).clamp(eps / 4, 1 - eps / 2)
