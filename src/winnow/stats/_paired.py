"""Paired tests, the correction for many of them, and what they can detect.

Two arms trained on the same seeds share data order and initial weights, so their scores rise and
fall together. The difference per seed takes that common part out; everything here works on such
differences, shape (S,).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from winnow.stats._interval import finite, vector

__all__ = ["holm", "minimum_detectable_effect", "sign_flip_test", "smallest_seeds"]

EXACT_LIMIT = 20  # 2**19 sums of half a million doubles: milliseconds
# Sums nearer than this share of sum(|d|) are equal: scores are fractions of few rows, rounding must
# not part them
TIE = 1e-9


def sign_flip_test(differences: ArrayLike, *, resamples: int = 99_999, seed: int = 0) -> float:
    """p value of "the differences, shape (S,), are symmetric about zero" against "their mean is not
    zero", two-sided.

    Under the null hypothesis every pattern of signs is equally likely, so p is the share of the 2^S
    patterns whose mean lies as far from zero as the observed one, or farther. All patterns are
    counted up to S = 20; beyond that ``resamples`` random ones are, and p = (b + 1) / (resamples +
    1). It needs no normality, and it cannot go below 2^(1 - S): see ``smallest_seeds``.

    Differences that are not finite are left out; without any, p = 1.

    Raises:
        ValueError: for differences of any other shape.

    Source: R. A. Fisher, The Design of Experiments (1935), section 21; the Monte Carlo form is B.
    Phipson and G. K. Smyth (2010), equation 2. ``scipy.stats.permutation_test`` with
    ``permutation_type="samples"`` is the same test.
    """
    d = finite(vector(differences, "differences"))
    if not len(d):
        return 1.0
    extreme = abs(d.sum()) - TIE * np.abs(d).sum()
    if len(d) <= EXACT_LIMIT:
        return float(np.mean(np.abs(_signed_sums(d)) >= extreme))
    return _monte_carlo(d, extreme, resamples, np.random.default_rng(seed))


def _signed_sums(d: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of ``d`` under the 2^(S-1) sign patterns that keep the first sign; the other half
    mirrors them.
    """
    sums = d[:1]
    for x in d[1:]:
        sums = np.concatenate([sums + x, sums - x])
    return sums


def _monte_carlo(
    d: NDArray[np.float64], extreme: float, resamples: int, rng: np.random.Generator
) -> float:
    # Rows: at most 8 MiB of signs at a time
    hits, left, rows = 0, resamples, max(1, 2**20 // len(d))
    while left > 0:
        signs = rng.integers(0, 2, size=(min(rows, left), len(d)), dtype=np.int8)
        hits += int(np.count_nonzero(np.abs((2.0 * signs - 1.0) @ d) >= extreme))
        left -= rows
    return (hits + 1) / (resamples + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjusted p values, shape (M,): reject where one is at most alpha, and the
    chance of any false rejection among the M is at most alpha, whatever the dependence between
    them.

    The i-th smallest (from 0) is multiplied by M - i; then none may be smaller than one before it,
    nor larger than 1.

    Raises:
        ValueError: for another shape, or a value outside [0, 1].

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
    """
    p = vector(p_values, "p_values")
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"`p_values` must lie in [0, 1], got {p[~((p >= 0) & (p <= 1))].tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def smallest_seeds(num_comparisons: int, alpha: float = 0.05) -> int:
    """Fewest seeds with which ``sign_flip_test`` can reach ``alpha`` under Holm's correction for so
    many comparisons.

    With S seeds no p value is below 2 / 2^S, and the smallest is multiplied by the number of
    comparisons. With fewer seeds than this, no effect however large can be called one.

    Raises:
        ValueError: for no comparisons, or an alpha outside (0, 1).
    """
    if num_comparisons < 1:
        raise ValueError(f"`num_comparisons` must be at least 1, got {num_comparisons}")
    _check_probability("alpha", alpha)
    n = 2
    while 2.0 / 2**n * num_comparisons > alpha:
        n += 1
    return n


def minimum_detectable_effect(sd: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true mean difference that a two-sided paired t test at level ``alpha`` finds with
    probability ``power``.

    Args:
        sd: standard deviation of the differences between pairs, in the units of the score.
        n: pairs. Below two nothing can be found: infinity.

    Raises:
        ValueError: for a negative sd, an alpha outside (0, 1), or a power outside (alpha, 1).

    Source: J. Cohen, Statistical Power Analysis (1988), with the noncentral t distribution in place
    of its tables; the same as ``TTestPower.solve_power`` of statsmodels.
    """
    if not sd >= 0:
        raise ValueError(f"`sd` must be >= 0, got {sd:g}")
    _check_probability("alpha", alpha)
    if not alpha < power < 1:
        raise ValueError(f"`power` must lie in (alpha, 1) = ({alpha:g}, 1), got {power:g}")
    if n < 2:
        return math.inf
    return sd * _noncentrality(n, alpha, power) / math.sqrt(n)


@functools.lru_cache(maxsize=256)
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """The noncentrality at which the t test of n values has this power: bisection, since the
    power grows with it.
    """
    low, high = 0.0, 4.0
    while _power(high, n, alpha) < power:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _power(middle, n, alpha) < power else (low, middle)
    # SciPy's noncentral t gives NaN at the far end (two pairs, alpha of 1e-6): out of reach is the
    # honest answer there
    return high if _power(high, n, alpha) >= power else math.inf


def _power(noncentrality: float, n: int, alpha: float) -> float:
    critical = special.stdtrit(n - 1, 1 - alpha / 2)
    missed, wrong_side = special.nctdtr(n - 1, noncentrality, [critical, -critical])
    # far out SciPy gives NaN for the wrong side, which is smaller than the normal tail beyond the
    # noncentrality
    return float(1 - missed + (0.0 if math.isnan(wrong_side) else wrong_side))


def _check_probability(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie in (0, 1), got {value:g}")
