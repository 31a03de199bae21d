"""Seeds of named purposes."""

from __future__ import annotations

import subprocess
import sys

from scipy import stats

from winnow.recipe import derive_seed


def test_a_seed_is_the_same_in_every_process() -> None:
    code = "from winnow.recipe import derive_seed; print(derive_seed(7, 'ablate', 3))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive_seed(7, "ablate", 3)


def test_purposes_do_not_meet() -> None:
    purposes = [
        ("search",),
        ("search", 0),
        ("search", "0"),
        ("s", "earch"),
        ("confirm", 0),
        ("confirm", 1),
        ("a", "b"),
        ("ab",),
    ]
    seeds = {derive_seed(root, *purpose) for root in (0, 1, 2**40) for purpose in purposes}
    assert len(seeds) == 3 * len(purposes)


def test_seeds_fill_31_bits_evenly() -> None:
    seeds = [derive_seed(0, "even", i) for i in range(2000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert stats.kstest([seed / 2**31 for seed in seeds], "uniform").pvalue > 0.01
