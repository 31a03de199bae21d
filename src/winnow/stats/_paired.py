"""Paired tests, the correction for many of them, and what they can detect.

Two arms trained on the same seeds share data order and initial weights, so their scores rise and
fall together. The difference per seed takes that common part out; everything here works on such
differences, shape (S,).
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from winnow.stats._arrays import Floats, finite, vector

__all__ = ["holm", "minimum_detectable_effect", "sign_flip_test", "smallest_seeds"]

EXACT_LIMIT = 20  # 2**19 sums of half a million doubles: milliseconds
# Sums nearer than this share of sum(|d|) are equal: scores are fractions of few rows, and rounding
# must not part those that are the same fraction
TIE = 1e-9
SIGNS_AT_ONCE = 2**20  # random signs that are held in memory, a byte each, then 8 as doubles
BISECTIONS = 60  # halve the bracket of the noncentrality down to the last bit of float64


def sign_flip_test(differences: ArrayLike, *, resamples: int = 99_999, seed: int = 0) -> float:
    """Return the two-sided p value of "the differences are symmetric about zero", against "their
    mean is not zero".

    Under the null hypothesis every pattern of signs is equally likely, so p is the share of the 2^S
    patterns whose mean lies as far from zero as the observed one, or farther. All patterns are
    counted up to S = 20; beyond that ``resamples`` random ones are, and p = (b + 1) / (resamples +
    1). It needs no normality, and it cannot go below 2^(1 - S): see ``smallest_seeds``.

    Args:
        differences: one for each seed, shape (S,). Those that are not finite are left out.
        resamples: how many random patterns there are beyond S = 20.
        seed: of the random patterns.

    Returns:
        A probability in (0, 1]; 1 without any difference.

    Raises:
        ValueError: for differences of any other shape.

    Source: R. A. Fisher, The Design of Experiments (1935), section 21; the Monte Carlo form is B.
    Phipson and G. K. Smyth (2010), equation 2. ``scipy.stats.permutation_test`` with
    ``permutation_type="samples"`` is the same test.

    Example:
        >>> sign_flip_test([1.0, 2.0, 3.0])  # +++ and --- of eight patterns
        0.25
    """
    d = finite(vector(differences, "differences"))
    if not len(d):
        return 1.0
    tolerance = TIE * np.abs(d).sum()
    extreme = abs(d.sum()) - tolerance
    if len(d) > EXACT_LIMIT:
        return _monte_carlo(d, extreme, resamples, np.random.default_rng(seed))
    as_extreme = np.abs(_signed_sums(d)) >= extreme
    return float(np.mean(as_extreme))


def _signed_sums(d: Floats) -> Floats:
    """Return the sums of ``d`` under the 2^(S-1) sign patterns that keep the first sign.

    The other half of the patterns mirrors them, so it has the same absolute sums.
    """
    sums = d[:1]
    for x in d[1:]:
        sums = np.concatenate([sums + x, sums - x])
    return sums


def _monte_carlo(d: Floats, extreme: float, resamples: int, rng: np.random.Generator) -> float:
    """Return the p value from random patterns of signs, some at a time."""
    patterns_at_once = max(1, SIGNS_AT_ONCE // len(d))
    hits = 0
    left = resamples
    while left > 0:
        patterns = min(patterns_at_once, left)
        bits = rng.integers(0, 2, size=(patterns, len(d)), dtype=np.int8)
        signs = 2.0 * bits - 1.0
        hits += int(np.count_nonzero(np.abs(signs @ d) >= extreme))
        left -= patterns
    # The observed pattern is one of them: without it p could be 0, which no test may claim
    return (hits + 1) / (resamples + 1)


def holm(p_values: ArrayLike) -> Floats:
    """Return Holm's step-down adjusted p values.

    Reject where one is at most alpha, and the chance of any false rejection among the M is at most
    alpha, whatever the dependence between them.

    The i-th smallest (from 0) is multiplied by M - i; then none may be smaller than one before it,
    nor larger than 1.

    Args:
        p_values: of M tests, shape (M,), in [0, 1].

    Returns:
        Shape (M,), in the order of ``p_values``, in [0, 1].

    Raises:
        ValueError: for another shape, or a value outside [0, 1].

    Source: S. Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).

    Example:
        >>> holm([0.25, 0.5, 0.125]).tolist()
        [0.5, 0.5, 0.375]
    """
    p = vector(p_values, "p_values")
    is_probability = (p >= 0) & (p <= 1)
    if not np.all(is_probability):
        raise ValueError(f"`p_values` must lie in [0, 1], got {p[~is_probability].tolist()}")
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    never_falling = np.maximum.accumulate(p[order] * factors)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, never_falling)
    return adjusted


def smallest_seeds(num_comparisons: int, alpha: float = 0.05) -> int:
    """Return the fewest seeds with which ``sign_flip_test`` can reach ``alpha`` under Holm's
    correction.

    With S seeds no p value is below 2 / 2^S, and the smallest is multiplied by the number of
    comparisons. With fewer seeds than this, no effect however large can be called one.

    Args:
        num_comparisons: how many tests are corrected together, at least 1.
        alpha: the level, in (0, 1).

    Raises:
        ValueError: for no comparisons, or an alpha outside (0, 1).

    Example:
        >>> smallest_seeds(1), smallest_seeds(6)
        (6, 8)
    """
    if num_comparisons < 1:
        raise ValueError(f"`num_comparisons` must be at least 1, got {num_comparisons}")
    _check_probability("alpha", alpha)
    n = 2
    while 2.0 / 2**n * num_comparisons > alpha:
        n += 1
    return n


def minimum_detectable_effect(sd: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true mean difference that a two-sided paired t test is likely to find.

    Args:
        sd: standard deviation of the differences between pairs, in the units of the score.
        n: pairs.
        alpha: level of the test, in (0, 1).
        power: the probability with which it finds the difference, in (alpha, 1).

    Returns:
        A difference >= 0, in the units of ``sd``; infinite below two pairs, with which nothing can
        be found.

    Raises:
        ValueError: for a negative sd, an alpha outside (0, 1), or a power outside (alpha, 1).

    Source: J. Cohen, Statistical Power Analysis (1988), with the noncentral t distribution in place
    of its tables; the same as ``TTestPower.solve_power`` of statsmodels.

    Example:
        >>> round(minimum_detectable_effect(0.01, 8), 4)
        0.0116
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
    """Return the noncentrality at which the t test of n values has this power.

    The power grows with it, so bisection finds it.
    """
    low, high = 0.0, 4.0
    while _power(high, n, alpha) < power:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _power(middle, n, alpha) < power:
            low = middle
        else:
            high = middle
    # SciPy's noncentral t gives NaN at the far end (two pairs, alpha of 1e-6): out of reach is the
    # honest answer there
    return high if _power(high, n, alpha) >= power else math.inf


def _power(noncentrality: float, n: int, alpha: float) -> float:
    """Return the probability that the two-sided t test of n values rejects."""
    critical = special.stdtrit(n - 1, 1 - alpha / 2)
    missed, wrong_side = special.nctdtr(n - 1, noncentrality, [critical, -critical])
    # Far out SciPy gives NaN for the wrong side, which is smaller than the normal tail beyond the
    # noncentrality
    if math.isnan(wrong_side):
        wrong_side = 0.0
    return float(1 - missed + wrong_side)


def _check_probability(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"`{name}` must lie in (0, 1), got {value:g}")
