"""Intervals over rows, held against exact enumeration, SciPy, an optimizer and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from winnow.stats import RowGroup, mean_over_rows, paired_shares
from winnow.stats._paired_shares import _upper_limit


def shares(lost: int, won: int, n: int, **more: float) -> tuple[float, float]:
    found = paired_shares([lost], [won], [n], **more)
    assert found.mean == pytest.approx((lost - won) / n)
    return found.low, found.high


# -- paired shares ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost", "won", "n"), [(3, 1, 20), (12, 2, 50), (0, 4, 30), (7, 7, 100)])
def test_the_ends_are_where_the_score_test_turns(lost: int, won: int, n: int) -> None:
    """The most likely share under the difference is found by an optimizer, not by Tango's
    quadratic.
    """

    def statistic(difference: float) -> float:
        def minus_log_likelihood(share: float) -> float:
            logs = [
                count * math.log(max(p, 1e-300))
                for count, p in ((won, share), (lost, share + difference))
            ]
            return -sum(logs) - (n - lost - won) * math.log(max(1 - 2 * share - difference, 1e-300))

        bounds = (max(0.0, -difference), (1 - difference) / 2)
        share = optimize.minimize_scalar(
            minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
        ).x
        variance = n * (2 * share + difference - difference**2)
        return (lost - won - n * difference) / math.sqrt(variance)

    low, high = shares(lost, won, n)

    assert statistic(low) == pytest.approx(1.959964, abs=1e-3)
    assert statistic(high) == pytest.approx(-1.959964, abs=1e-3)


@pytest.mark.parametrize("n", [20, 60, 300])
@pytest.mark.parametrize(
    ("difference", "won"), [(0.015, 0.0), (0.015, 0.02), (0.05, 0.0), (0.05, 0.02), (0.1, 0.1)]
)
def test_the_upper_end_is_too_low_in_at_most_a_fortieth_of_cases(
    n: int, difference: float, won: float
) -> None:
    """Exactly, by going through all that can happen: with half a pair added to each cell it was
    5 % and more.
    """
    a, b = (
        counts.ravel().astype(float)
        for counts in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    )
    chance = stats.multinomial.pmf(
        np.stack([a, b, n - a - b], axis=1),
        n=n,
        p=[won + difference, won, 1 - 2 * won - difference],
    )
    likely = chance > 1e-10
    high = _upper_limit(a[likely], b[likely], np.full(int(likely.sum()), float(n)), 1.959964)

    assert chance[likely][high < difference].sum() <= 0.0255


def test_no_change_on_few_rows_does_not_exclude_one() -> None:
    z2 = 1.959964**2

    assert shares(0, 0, 50) == pytest.approx((-z2 / (50 + z2), z2 / (50 + z2)))


def test_many_rows_give_the_paired_t_interval() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(20_000) < 0.9
    after = np.where(rng.random(20_000) < 0.05, ~before, before)
    expected = stats.ttest_rel(before.astype(float), after.astype(float)).confidence_interval(0.95)

    assert shares(
        int((before & ~after).sum()), int((~before & after).sum()), 20_000
    ) == pytest.approx((expected.low, expected.high), abs=2e-4)


def test_strata_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    rows, lose, win = np.array([40, 20]), np.array([0.06, 0.15]), np.array([0.02, 0.03])
    truth = float((lose - win).mean())
    covered = 0
    for _ in range(1500):
        lost = rng.binomial(rows, lose)
        won = rng.binomial(rows - lost, win / (1 - lose))
        found = paired_shares(lost, won, rows)
        covered += found.low <= truth <= found.high

    assert 0.94 <= covered / 1500 <= 0.99


# -- means over rows -------------------------------------------------------------------------------


def test_without_skewness_it_is_the_t_interval() -> None:
    half = np.random.default_rng(1).standard_normal(40)
    values = np.concatenate([half, -half]) + 3
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)

    found = mean_over_rows([RowGroup(values)])

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_groups_are_put_together_as_welch_did() -> None:
    rng = np.random.default_rng(2)
    halves = [rng.standard_normal(15), 4 * rng.standard_normal(6)]
    a, b = (np.concatenate([half, -half]) for half in halves)  # no skewness
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)

    found = mean_over_rows([RowGroup(a), RowGroup(b, weight=-1.0)])

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_long_side_of_a_skewed_distribution_is_missed_less_often_than_by_t() -> None:
    rng = np.random.default_rng(3)
    samples = rng.lognormal(0, 1, (3000, 60))
    truth = math.exp(0.5)

    missed = np.mean([mean_over_rows([RowGroup(s)]).high < truth for s in samples])
    by_t = np.mean(
        [stats.ttest_1samp(s, 0).confidence_interval(0.95).high < truth for s in samples]
    )

    assert by_t > 0.08
    assert missed < 0.055


def test_equal_values_have_a_width_from_their_number() -> None:
    z2 = 1.959964**2

    found = mean_over_rows([RowGroup(np.zeros(96), spread=0.5)])

    assert (found.low, found.high) == pytest.approx((-0.5 * z2 / (96 + z2), 0.5 * z2 / (96 + z2)))


def test_one_row_says_nothing_about_spread() -> None:
    found = mean_over_rows([RowGroup(np.array([1.0, 2.0])), RowGroup(np.array([3.0]))])

    assert (found.mean, found.low, found.high) == (4.5, -math.inf, math.inf)


def test_more_rows_of_the_same_kind_narrow_it() -> None:
    values = np.random.default_rng(5).standard_normal(50)
    tiled = mean_over_rows([RowGroup(np.tile(values, 9), spread=1.0)])

    found = mean_over_rows([RowGroup(values, spread=1.0)], times=9)

    assert (found.low, found.high) == pytest.approx((tiled.low, tiled.high), rel=0.01)
