"""Intervals against scipy.stats.t, and their coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from winnow.stats import Interval, in_range, one_row, t_interval


@pytest.mark.parametrize("n", [2, 3, 10, 200])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_equals_scipy(n: int, confidence: float, scale: float) -> None:
    values = np.random.default_rng(n).normal(0.3, 1.0, n) * scale
    got = t_interval(values, confidence)
    low, high = stats.t.interval(confidence, n - 1, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose(
        [got.mean, got.low, got.high], [np.mean(values), low, high], rtol=1e-10
    )
    assert (got.n, got.confidence, got.kind, got.lost) == (n, confidence, "t", 0)


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(2.0, 0.5, (2000, 5))
    inside = [(i := t_interval(row, 0.9)).low <= 2.0 <= i.high for row in draws]
    assert abs(np.mean(inside) - 0.9) < 3 * math.sqrt(0.9 * 0.1 / 2000)


def test_one_value_says_nothing_about_the_spread() -> None:
    assert t_interval([0.4]) == Interval(0.4, -math.inf, math.inf, 0.95, 1)


def test_no_value_at_all() -> None:
    got = t_interval([math.nan, math.nan])
    assert math.isnan(got.mean)
    assert (got.low, got.high, got.n, got.lost) == (-math.inf, math.inf, 0, 2)


def test_failed_trainings_are_left_out_and_counted() -> None:
    got, clean = t_interval([1.0, math.nan, 2.0, math.inf, 4.0]), t_interval([1.0, 2.0, 4.0])
    assert (got.mean, got.low, got.high, got.n, got.lost) == (
        clean.mean,
        clean.low,
        clean.high,
        3,
        2,
    )


def test_equal_values_have_no_width() -> None:
    got = t_interval([0.0, 0.0, 0.0])
    assert (got.mean, got.low, got.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.973, 0.969, 0.977, 0.95, 5), "0.973 [0.969, 0.977]"),
        (Interval(0.97312, 0.96112, 0.98512, 0.95, 5), "0.973 [0.961, 0.985]"),
        (Interval(3012.34, 2892.0, 3132.68, 0.95, 5), "3010 [2890, 3130]"),
        (
            Interval(284937212.3, 253211987.6, 316662437.0, 0.95, 5),
            "280000000 [250000000, 320000000]",
        ),
        (Interval(-0.00002, -0.00006, 0.00002, 0.95, 5), "-0.00002 [-0.00006, 0.00002]"),
        (Interval(0.9722222, 0.9722222, 0.9722222, 0.95, 5), "0.972 [0.972, 0.972]"),
        (Interval(4 / 9, 4 / 9 - 1e-16, 4 / 9 + 1e-16, 0.95, 5), "0.444 [0.444, 0.444]"),
        (Interval(0.0, 0.0, 0.0, 0.95, 5), "0.000 [0.000, 0.000]"),
        (Interval(0.5, -math.inf, math.inf, 0.95, 1, lost=4), "0.500 [-inf, inf] (4 lost)"),
        (Interval(math.nan, -math.inf, math.inf, 0.95, 0), "nan [-inf, inf]"),
        (Interval(1e300, 0.0, 1e301, 0.95, 2), f"{1e300:.0f} [0, {1e301:.0f}]"),
    ],
)
def test_text_shows_the_digits_that_mean_something(interval: Interval, text: str) -> None:
    assert str(interval) == text


def test_as_plain_data() -> None:
    assert Interval(1.0, 0.5, 1.5, 0.9, 4).to_dict() == {
        "mean": 1.0,
        "low": 0.5,
        "high": 1.5,
        "confidence": 0.9,
        "n": 4,
        "lost": 0,
    }


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, math.nan])
def test_refuses_a_confidence_that_is_none(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"`confidence` must lie in \(0, 1\), got"):
        t_interval([1.0, 2.0], confidence)


@pytest.mark.parametrize("values", [3.0, [[1.0, 2.0]]])
def test_refuses_other_shapes(values: object) -> None:
    with pytest.raises(ValueError, match=r"expected `values` as \(seeds,\), got shape"):
        t_interval(values)  # type: ignore[arg-type]


# -- what a score can be, and what rows can tell ---------------------------------------------------

SHARE, LOSS, R2 = (0.0, 1.0), (0.0, math.inf), (-math.inf, 1.0)


def test_no_end_lies_beyond_what_the_score_can_be() -> None:
    wide = t_interval([1.0, 0.8, 1.0])
    assert wide.high > 1.0
    got = in_range(wide, SHARE)
    assert (got.mean, got.low, got.high) == (wide.mean, wide.low, 1.0)
    assert in_range(t_interval([0.0, 0.5]), LOSS).low == 0.0
    assert in_range(t_interval([0.9, 1.0]), R2).high == 1.0
    assert in_range(t_interval([0.7]), SHARE) == Interval(0.7, 0.0, 1.0, 0.95, 1)


def test_equal_scores_are_known_to_a_row() -> None:
    got = in_range(t_interval([0.75] * 5), SHARE, rows=40)
    assert (got.low, got.high) == pytest.approx((0.75 - 0.5 / 40, 0.75 + 0.5 / 40))
    perfect = in_range(t_interval([1.0] * 5), SHARE, rows=40)
    assert (perfect.low, perfect.high) == pytest.approx((1 - 1 / 40, 1.0))
    none = in_range(t_interval([0.0] * 5), SHARE, rows=40)
    assert (none.low, none.high) == pytest.approx((0.0, 1 / 40))


@pytest.mark.parametrize("rows", [1, 7, 30, 5000])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_rows_that_all_went_the_same_way_give_clopper_and_pearsons_interval(
    rows: int, confidence: float
) -> None:
    oracle = stats.binomtest(rows, rows).proportion_ci(confidence, "exact")
    got = in_range(t_interval([1.0] * 5, confidence), SHARE, rows=rows, over="rows")
    assert (got.low, got.high) == pytest.approx((oracle.low, oracle.high))


def test_a_wide_interval_is_left_as_it_is() -> None:
    wide = t_interval([0.6, 0.7, 0.8])
    assert in_range(wide, SHARE, rows=100) == in_range(wide, SHARE, rows=100, over="rows") == wide


@pytest.mark.parametrize(
    ("bounds", "mean", "worth"),
    [(SHARE, 0.3, 0.01), (LOSS, 0.3, 0.003), (R2, 0.8, 0.002), (R2, 1.0, 0.01)],
)
def test_what_a_row_is_worth(bounds: tuple[float, float], mean: float, worth: float) -> None:
    assert one_row(mean, bounds, 100) == pytest.approx(worth)
    got = in_range(t_interval([mean, mean]), bounds, rows=100)
    assert got.high - got.low == pytest.approx(worth)
    assert bounds[0] <= got.low <= got.mean <= got.high <= bounds[1]


def test_no_value_has_no_width_to_add() -> None:
    got = in_range(t_interval([math.nan]), SHARE, rows=10)
    assert math.isnan(got.mean)
    assert (got.low, got.high) == (0.0, 1.0)


def test_refuses_no_rows() -> None:
    with pytest.raises(ValueError, match="`rows` must be at least 1, got 0"):
        in_range(t_interval([0.5, 0.5]), SHARE, rows=0)
