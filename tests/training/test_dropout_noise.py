"""Dropout's noise: its law, its independence, and the hash that is documented."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import torch

from winnow.training import _noise as methods


def test_dropout_drops_at_its_rate_and_independently() -> None:
    """Against the binomial law: counts over elements, over steps, and agreement between
    neighbors, layers, steps and members.
    """
    steps, size, rate = 60, 4096, 0.3
    keys = torch.from_numpy(methods.noise_keys([0, 1], 2, range(steps)))
    threshold = torch.tensor(methods.drop_threshold(rate), dtype=torch.int32)
    kept = torch.stack(
        [
            torch.stack(
                [
                    torch.stack([methods.dropout_keep(torch.Size([size]), k, threshold) for k in m])
                    for m in s
                ]
            )
            for s in keys
        ]
    ).double()  # (steps, members, layers, elements)

    def z(mean: torch.Tensor, expected: float, variance: float, n: int) -> torch.Tensor:
        return (mean - expected) / math.sqrt(variance / n)

    p = 1 - rate
    assert z(kept.mean(), p, p * rate, kept.numel()).abs() < 4
    assert z(kept.mean(dim=(0, 1, 2)), p, p * rate, steps * 4).abs().max() < 5.5  # every element
    assert z(kept.mean(dim=3), p, p * rate, size).abs().max() < 5  # every mask
    both = {
        "neighbors": kept[..., 1:] * kept[..., :-1],
        "powers of two": kept[..., 1024:] * kept[..., :-1024],
        "halves of one hash": kept[..., : size // 2] * kept[..., size // 2 :],
        "layers": kept[:, :, 0] * kept[:, :, 1],
        "members": kept[:, 0] * kept[:, 1],
        "steps": kept[1:] * kept[:-1],
    }
    for name, product in both.items():
        assert z(product.mean(), p * p, p * p * (1 - p * p), product.numel()).abs() < 4.5, name


def sixteenths(size: int, keys: list[int]) -> np.ndarray:
    """Which sixteenth of its range the random number of each element lies in, read off what
    survives at fifteen rates.
    """
    key = torch.tensor(keys, dtype=torch.int32)
    thresholds = [methods.drop_threshold(i / 16) for i in range(1, 16)]
    return (
        torch.stack([methods.dropout_keep(torch.Size([size]), key, t) for t in thresholds])
        .sum(dim=0)
        .numpy()
    )


def test_dropout_draws_evenly_and_the_halves_of_a_hash_apart() -> None:
    """Chi-square tests: of the numbers of either half, of both together, and of one number
    under two keys.
    """
    size = 2**17
    first, other = sixteenths(size, [12345, -678]), sixteenths(size, [12346, -678])
    upper, lower = first[: size // 2], first[size // 2 :]
    for half in (upper, lower):
        assert scipy.stats.chisquare(np.bincount(half, minlength=16)).pvalue > 1e-4
    for a, b in ((upper, lower), (upper[1:], lower[:-1]), (first, other), (first[1:], first[:-1])):
        table = np.bincount(16 * a + b, minlength=256)
        assert scipy.stats.chisquare(table).pvalue > 1e-4


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_dropout_is_the_hash_that_is_documented(size: int) -> None:
    """Against whole numbers of Python, one element at a time."""
    key, threshold = (-123456789, 987654321), methods.drop_threshold(0.37)

    def survives(element: int) -> bool:
        half = (size + 1) // 2
        h = (element % half * 0x9E3779B9 + key[0]) % 2**32
        h = (h ^ h >> 16) * 0x7FEB352D % 2**32
        h ^= key[1] % 2**32
        h = (h ^ h >> 15) * 0x846CA68B % 2**32
        h ^= h >> 16
        number = h >> 16 if element < half else h % 2**16  # of sixteen bits, as if without sign
        return (number + 2**15) % 2**16 >= round(0.37 * 2**16)

    found = methods.dropout_keep(
        torch.Size([size]), torch.tensor(key, dtype=torch.int32), threshold
    )
    assert found.tolist() == [survives(i) for i in range(size)]


@pytest.mark.parametrize("rate", [0.0, 1e-9, 0.1, 0.3, 0.5, 1 - 1e-9, 1.0])
def test_what_survives_is_scaled_to_the_mean_that_was(rate: float) -> None:
    threshold = methods.drop_threshold(rate)
    dropped = Fraction(threshold + 2**31, 2**32)
    assert (rate == 0) == (dropped == 0)
    if rate < 1:
        assert abs(dropped - Fraction(rate)) <= Fraction(1, 2**16)
        assert methods.drop_scale(threshold) == pytest.approx(float(1 / (1 - dropped)), rel=1e-15)
    else:
        assert methods.drop_scale(threshold) == 0
    kept = methods.dropout_keep(
        torch.Size([1000]), torch.tensor([5, 6], dtype=torch.int32), threshold
    )
    assert {0.0: 1000, 1.0: 0}.get(rate, int(kept.sum())) == int(kept.sum())


def test_noise_keys_do_not_depend_on_who_else_asks() -> None:
    together = methods.noise_keys([3, 5, 8], 4, range(10, 20))
    alone = methods.noise_keys([5], 4, range(15, 16))
    assert (together[5, 1] == alone[0, 0]).all()
    assert (
        len(
            {
                tuple(k)
                for k in methods.noise_keys(list(range(50)), 4, range(50)).reshape(-1, 2).tolist()
            }
        )
        == 50 * 50 * 4
    )
