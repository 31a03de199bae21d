"""The sign-flip test against SciPy and a slow loop, Holm against hand arithmetic, power against
published numbers.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from winnow.stats import _paired, holm, minimum_detectable_effect, sign_flip_test, smallest_seeds


def scipy_p(d: np.ndarray) -> float:
    def mean(x: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(x, axis=axis))

    return float(
        stats.permutation_test(
            (d,), mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
        ).pvalue
    )


# -- the sign-flip test ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(2, 13))
@pytest.mark.parametrize("shift", [0.0, 0.7, -2.0])
def test_equals_scipy(n: int, shift: float) -> None:
    d = np.random.default_rng(n).normal(shift, 1.0, n)
    assert sign_flip_test(d) == pytest.approx(scipy_p(d), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_equals_exact_arithmetic_on_tied_fractions(seed: int) -> None:
    # differences of accuracies on 360 rows: many patterns tie, and floating point sees them a
    # little apart
    rng = np.random.default_rng(seed)
    with_, without = rng.integers(340, 350, 9), rng.integers(338, 348, 9)
    counts = [int(c) for c in with_ - without]
    sums = [
        abs(sum(s * c for s, c in zip(signs, counts, strict=True)))
        for signs in itertools.product([1, -1], repeat=9)
    ]
    expected = sum(s >= abs(sum(counts)) for s in sums) / 2**9
    assert sign_flip_test(with_ / 360 - without / 360) == expected


def test_hand_example() -> None:
    # |sum| >= 6 for +++ and --- only; |1 + 2 - 3| = 0 is reached by all
    assert sign_flip_test([1.0, 2.0, 3.0]) == 2 / 8
    assert sign_flip_test([1.0, 2.0, -3.0]) == 1.0


def test_nothing_to_see() -> None:
    assert sign_flip_test([0.0, 0.0, 0.0, 0.0]) == 1.0
    assert sign_flip_test([0.3]) == 1.0
    assert sign_flip_test([]) == 1.0
    assert sign_flip_test([math.nan, math.nan]) == 1.0


def test_failed_pairs_are_left_out() -> None:
    assert sign_flip_test([1.0, math.nan, 2.0, 3.0]) == sign_flip_test([1.0, 2.0, 3.0])


def test_sign_and_order_and_unit_do_not_matter() -> None:
    d = np.random.default_rng(3).normal(0.4, 1.0, 10)
    assert (
        sign_flip_test(d)
        == sign_flip_test(-d)
        == sign_flip_test(d[::-1])
        == sign_flip_test(d * 1e-9)
        == sign_flip_test(d * 1e9)
    )


def test_exact_up_to_its_limit() -> None:
    assert sign_flip_test(np.arange(1.0, _paired.EXACT_LIMIT + 1)) == 2.0 ** (
        1 - _paired.EXACT_LIMIT
    )


def test_monte_carlo_agrees_with_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(1).normal(0.2, 1.0, 12)
    exact = sign_flip_test(d)
    monkeypatch.setattr(_paired, "EXACT_LIMIT", 11)
    assert 0.02 < exact < 0.5
    assert abs(sign_flip_test(d) - exact) < 4 * math.sqrt(exact * (1 - exact) / 99_999)


def test_monte_carlo_is_seeded_and_never_zero() -> None:
    d = np.random.default_rng(2).normal(0.3, 1.0, 40)
    assert sign_flip_test(d, resamples=999) == sign_flip_test(d, resamples=999)
    assert len({sign_flip_test(d, resamples=999, seed=s) for s in range(5)}) > 1
    assert sign_flip_test(np.ones(40), resamples=999) == 1 / 1000
    assert sign_flip_test(np.zeros(40), resamples=999) == 1.0


def test_monte_carlo_draws_as_many_as_asked() -> None:
    # all zeros: every resample counts, over several chunks
    assert sign_flip_test(np.zeros(2**15), resamples=100) == 1.0


def test_false_alarms_are_as_rare_as_promised() -> None:
    d = np.random.default_rng(0).laplace(0.0, 1.0, (2000, 7))
    rate = np.mean([sign_flip_test(row) <= 6 / 128 for row in d])
    assert abs(rate - 6 / 128) < 3 * math.sqrt(0.047 * 0.953 / 2000)


def test_sign_flip_refuses_other_shapes() -> None:
    with pytest.raises(
        ValueError, match=r"expected `differences` as \(seeds,\), got shape \(2, 2\)"
    ):
        sign_flip_test(np.zeros((2, 2)))


# -- Holm ------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04 -> x4 x3 x2 x1 -> .02 .03 .06 .04 -> never falling: .02 .03 .06 .06
    np.testing.assert_allclose(
        holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], rtol=1e-12
    )


def test_holm_ends() -> None:
    assert holm([]).shape == (0,)
    assert holm([0.2]).tolist() == [0.2]
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0]
    assert holm([0.0, 1.0]).tolist() == [0.0, 1.0]


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.uniform(size=7) ** 3
        rejected = np.zeros(7, dtype=bool)
        # Holm's own words: go on while the smallest left is small enough
        for step, i in enumerate(np.argsort(p)):
            if p[i] > 0.05 / (7 - step):
                break
            rejected[i] = True
        np.testing.assert_array_equal(holm(p) <= 0.05, rejected)


def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order() -> None:
    p = np.random.default_rng(5).uniform(0, 0.2, 9)
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(adjusted <= np.minimum(1, 9 * p))
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)


@pytest.mark.parametrize("bad", [[0.1, -0.1], [1.5], [math.nan, 0.2]])
def test_holm_refuses_what_is_no_probability(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"`p_values` must lie in \[0, 1\], got \["):
        holm(bad)


# -- seeds and power -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "alpha", "expected"),
    [(1, 0.05, 6), (6, 0.05, 8), (7, 0.05, 9), (1, 0.5, 2), (1, 2 / 2**7, 7), (10, 0.01, 11)],
)
def test_smallest_seeds_by_hand(m: int, alpha: float, expected: int) -> None:
    assert smallest_seeds(m, alpha) == expected


def test_smallest_seeds_is_where_significance_begins() -> None:
    m, n = 9, smallest_seeds(9, 0.05)
    for seeds, reachable in ((n, True), (n - 1, False)):
        strongest = sign_flip_test(np.ones(seeds))
        assert bool(holm([strongest] + [1.0] * (m - 1))[0] <= 0.05) is reachable


def test_smallest_seeds_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="`num_comparisons` must be at least 1, got 0"):
        smallest_seeds(0)
    with pytest.raises(ValueError, match=r"`alpha` must lie in \(0, 1\), got 5"):
        smallest_seeds(3, 5.0)


def power_by_integral(effect: float, sd: float, n: int, alpha: float) -> float:
    """The t test's power, the normal mean integrated over the chi distribution of the standard
    deviation.
    """
    df, critical, shift = n - 1, stats.t.ppf(1 - alpha / 2, n - 1), effect / sd * math.sqrt(n)

    def density(w: float) -> float:
        edge = critical * w / math.sqrt(df)
        return float(
            (stats.norm.sf(edge - shift) + stats.norm.cdf(-edge - shift)) * stats.chi.pdf(w, df)
        )

    return float(integrate.quad(density, 0, np.inf, limit=200)[0])


@pytest.mark.parametrize("n", [2, 5, 10, 30])
@pytest.mark.parametrize("alpha", [0.05, 0.005])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_detectable_effect_has_that_power(n: int, alpha: float, power: float) -> None:
    effect = minimum_detectable_effect(0.02, n, alpha, power)
    assert power_by_integral(effect, 0.02, n, alpha) == pytest.approx(power, abs=1e-6)


def test_detectable_effect_equals_published_sample_sizes() -> None:
    # Cohen's standard effects, paired, two-sided 0.05, power 0.8: 199, 34 and 15 pairs (G*Power)
    for d, pairs in ((0.2, 199), (0.5, 34), (0.8, 15)):
        assert (
            minimum_detectable_effect(1.0, pairs) <= d < minimum_detectable_effect(1.0, pairs - 1)
        )


def test_detectable_effect_at_the_ends() -> None:
    assert minimum_detectable_effect(0.0, 5) == 0.0
    assert minimum_detectable_effect(0.3, 1) == math.inf
    assert minimum_detectable_effect(0.3, 2, 1e-6) == math.inf  # beyond SciPy's noncentral t
    assert minimum_detectable_effect(2.0, 9) == pytest.approx(2 * minimum_detectable_effect(1.0, 9))


def test_detectable_effect_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="`sd` must be >= 0, got -1"):
        minimum_detectable_effect(-1.0, 5)
    with pytest.raises(ValueError, match=r"`alpha` must lie in \(0, 1\), got 0"):
        minimum_detectable_effect(1.0, 5, 0.0)
    with pytest.raises(
        ValueError, match=r"`power` must lie in \(alpha, 1\) = \(0.05, 1\), got 0.01"
    ):
        minimum_detectable_effect(1.0, 5, 0.05, 0.01)
