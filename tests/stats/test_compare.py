"""Verdicts by hand-made cases, and their error rates by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from winnow.stats import (
    PairedComparison,
    compare_arms,
    holm,
    minimum_detectable_effect,
    sign_flip_test,
    t_interval,
)

SEEDS = 12
BASE = 0.9 + np.random.default_rng(0).normal(0, 0.01, SEEDS)
NOISE = np.random.default_rng(1).normal(0, 0.001, SEEDS)


def compare(
    arm: np.ndarray, *, higher: bool = True, effect: float = 0.005, reference: np.ndarray = BASE
) -> PairedComparison:
    return compare_arms(reference, {"part": arm}, higher_is_better=higher, smallest_effect=effect)[
        0
    ]


def test_the_part_helps_when_scores_fall_without_it() -> None:
    got = compare(BASE - 0.02 + NOISE)
    assert got.verdict == "helps"
    assert got.difference.mean == pytest.approx(0.02 - NOISE.mean())


def test_the_part_hurts_when_scores_rise_without_it() -> None:
    assert compare(BASE + 0.02 + NOISE).verdict == "hurts"


def test_a_lower_score_is_better_for_losses() -> None:
    got = compare(BASE + 0.02 + NOISE, higher=False)
    assert got.verdict == "helps"
    assert got.difference.mean == pytest.approx(0.02 + NOISE.mean())


def test_a_real_but_small_effect_is_no_difference() -> None:
    got = compare(BASE - 0.002 + NOISE)
    assert got.p_holm < 0.05
    assert got.difference.low > 0
    assert got.verdict == "no difference"


def test_wide_is_undecided() -> None:
    assert compare(BASE + 30 * NOISE).verdict == "undecided"


def test_equivalence_uses_the_narrower_interval() -> None:
    d = np.array([0.0, 0.002, -0.002, 0.001, -0.001, 0.003, -0.003, 0.0])
    ends = [t_interval(d, c).high for c in (0.90, 0.95)]
    between = sum(ends) / 2  # inside for 90 %, outside for 95 %
    reference = np.full(8, 0.5)
    assert compare(reference - d, effect=between, reference=reference).verdict == "no difference"
    assert compare(reference - d, effect=ends[0] * 0.99, reference=reference).verdict == "undecided"


def test_significance_alone_is_not_enough() -> None:
    # five seeds, all with the same sign, interval far from zero: p = 2/32 > 0.05
    reference = np.full(5, 0.9)
    got = compare(reference - [0.10, 0.11, 0.10, 0.12, 0.11], reference=reference)
    assert got.difference.low > 0.05
    assert got.p == 2 / 32
    assert got.verdict == "undecided"
    assert got.mde == math.inf


def test_nothing_changed() -> None:
    got = compare(BASE)
    assert (got.difference.mean, got.difference.low, got.difference.high) == (0.0, 0.0, 0.0)
    assert (got.p, got.p_holm, got.verdict) == (1.0, 1.0, "undecided"), (
        "equal differences alone show nothing"
    )


def test_one_pair_decides_nothing() -> None:
    got = compare(np.array([0.5]), reference=np.array([0.9]))
    assert (got.verdict, got.p, got.n, got.mde) == ("undecided", 1.0, 1, math.inf)
    assert math.isnan(got.correlation)


def test_failed_seeds_are_dropped_on_both_sides_and_counted() -> None:
    reference, arm = BASE.copy(), BASE - 0.02 + NOISE
    reference[0], arm[1], arm[2] = math.nan, math.nan, math.inf
    got = compare(arm, reference=reference)
    kept = compare((BASE - 0.02 + NOISE)[3:], reference=BASE[3:])
    assert (got.n, got.lost) == (SEEDS - 3, 3)
    assert (got.difference, got.p, got.correlation, got.mde) == (
        kept.difference,
        kept.p,
        kept.correlation,
        kept.mde,
    )


def test_an_arm_that_never_finished() -> None:
    got = compare(np.full(SEEDS, math.nan))
    assert (got.n, got.lost, got.failed, got.failed_with, got.verdict, got.p) == (
        0,
        SEEDS,
        SEEDS,
        0,
        "needed",
        1.0,
    )
    assert math.isnan(got.difference.mean)


# -- failures --------------------------------------------------------------------------------------


def with_failures(scores: np.ndarray, *seeds: int) -> np.ndarray:
    scores = scores.copy()
    scores[list(seeds)] = math.nan
    return scores


def test_a_part_without_which_half_of_the_trainings_fail_is_needed() -> None:
    got = compare(with_failures(BASE + NOISE, 0, 2, 4, 6, 8, 10))
    assert (got.verdict, got.failed, got.failed_with) == ("needed", 6, 0)
    assert got.p_failures == max(
        stats.binomtest(6, 6, alternative="greater").pvalue,
        stats.fisher_exact([[6, 6], [0, 12]], "greater")[1],
    )


def test_failures_that_the_reference_has_as_well_do_not_make_a_part_needed() -> None:
    lost = (0, 2, 4, 6, 8, 10)
    assert (
        compare(with_failures(BASE + NOISE, *lost), reference=with_failures(BASE, *lost)).verdict
        == "no difference"
    )
    others = compare(
        with_failures(BASE + NOISE, *lost),
        reference=with_failures(BASE, *(s + 1 for s in lost)),
        effect=0.01,
    )
    assert others.verdict != "needed"
    assert others.p_failures > 0.5


@pytest.mark.parametrize("arm", [BASE + NOISE, BASE + 0.02 + NOISE])  # else: no difference, hurts
def test_one_more_failure_is_never_harmless(arm: np.ndarray) -> None:
    assert compare(arm).verdict in ("no difference", "hurts")
    got = compare(with_failures(arm, 3))
    assert (got.verdict, got.failed) == ("undecided", 1)


def test_a_part_whose_absence_fails_can_help_as_well() -> None:
    assert compare(with_failures(BASE - 0.02 + NOISE, 3)).verdict == "helps"


def test_other_arms_show_how_rare_failures_are() -> None:
    arms = {
        "fragile": with_failures(BASE, 1, 2, 3, 4, 5),
        **{f"idle{i}": BASE + NOISE for i in range(6)},
    }
    got = compare_arms(BASE, arms, higher_is_better=True, smallest_effect=0.005)[0]
    assert got.verdict == "needed"
    assert got.p_failures == 2.0**-5  # the paired test; the pooled one is smaller, even times seven


def test_chance_failures_make_no_part_needed_more_often_than_promised() -> None:
    rng, wrong, repeats = np.random.default_rng(11), 0, 400
    for _ in range(repeats):
        scores = np.where(
            rng.random((7, 10)) < rng.choice([0.05, 0.2, 0.5]),
            math.nan,
            rng.normal(0.9, 0.01, (7, 10)),
        )
        arms = {str(i): row for i, row in enumerate(scores[1:])}
        found = compare_arms(scores[0], arms, higher_is_better=True, smallest_effect=0.0)
        wrong += any(c.verdict == "needed" for c in found)
    assert wrong / repeats < 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


# -- no verdict from nothing -----------------------------------------------------------------------

SHARE = {"bounds": (0.0, 1.0), "higher_is_better": True}


def test_no_difference_takes_a_margin_of_one_row() -> None:
    score = np.full(10, 0.9) + np.tile([0.0, 0.001], 5)
    below, at = (
        compare_arms(score, {"part": score[::-1]}, rows=1000, smallest_effect=effect, **SHARE)[0]
        for effect in (0.0009, 0.001)
    )
    assert (below.verdict, at.verdict) == ("undecided", "no difference")


def test_where_rows_differ_no_difference_takes_a_margin_of_the_one_that_weighs_most() -> None:
    # Balanced accuracy, say, with ten rows in the rarer of two classes
    score = np.full(10, 0.9) + np.tile([0.0, 0.001], 5)
    got = [
        compare_arms(
            score,
            {"part": score[::-1]},
            rows=1000,
            row_worth=1 / 20,
            smallest_effect=effect,
            **SHARE,
        )[0].verdict
        for effect in (0.01, 0.049, 0.05)
    ]
    assert got == ["undecided", "undecided", "no difference"]


def test_no_difference_takes_five_pairs() -> None:
    few, enough = (compare(BASE[:n] + NOISE[:n], reference=BASE[:n]).verdict for n in (4, 5))
    assert (few, enough) == ("undecided", "no difference")


def test_equal_differences_have_the_width_that_rows_give_them() -> None:
    score = np.full(10, 0.9)
    got = compare_arms(score, {"part": score}, rows=100, smallest_effect=0.01, **SHARE)[0]
    assert (
        got.difference.high
        == -got.difference.low
        == pytest.approx(stats.t.ppf(0.975, 9) * 0.005 / math.sqrt(10))
    )
    assert got.p_same == pytest.approx(stats.t.sf((0.01 - 0.01 / 20) / (0.005 / math.sqrt(10)), 9))
    loss = compare_arms(
        score,
        {"part": score},
        higher_is_better=False,
        rows=100,
        bounds=(0.0, math.inf),
        smallest_effect=0.01,
    )[0]
    assert loss.difference.high == pytest.approx(
        stats.t.ppf(0.975, 9) * 0.9 / 100 / 2 / math.sqrt(10)
    )


def test_identical_predictions_are_no_difference_whatever_the_margin() -> None:
    score = np.full(5, 0.9)
    got = compare_arms(
        score, {"a": score, "b": score}, rows=100, smallest_effect=0.0, identical=["a"], **SHARE
    )
    assert [(c.verdict, c.identical) for c in got] == [
        ("no difference", True),
        ("undecided", False),
    ]


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_identical_predictions_on_fewer_than_five_seeds_decide_nothing(seeds: int) -> None:
    score = np.full(seeds, 0.9)
    got = compare_arms(
        score, {"a": score}, rows=100, smallest_effect=0.01, identical=["a"], **SHARE
    )[0]
    assert (got.verdict, got.p_same, got.identical) == ("undecided", 1.0, True)


def test_failed_trainings_do_not_count_towards_the_five_seeds() -> None:
    score = np.array([0.9] * 4 + [math.nan] * 6)
    got = compare_arms(
        score, {"a": score}, rows=100, smallest_effect=0.01, identical=["a"], **SHARE
    )[0]
    assert (got.verdict, got.n, got.identical) == ("undecided", 4, True)


def test_no_difference_is_corrected_for_the_number_of_parts() -> None:
    d = np.array([0.0, 0.002, -0.002, 0.001, -0.001, 0.003, -0.003, 0.0])
    reference = np.full(8, 0.5)
    effect = t_interval(d, 0.9).high * 1.01
    noise = {f"noisy{i}": reference - np.random.default_rng(i).normal(0, 0.1, 8) for i in range(3)}
    alone, many = (
        compare_arms(reference, arms, higher_is_better=True, smallest_effect=effect)[0]
        for arms in ({"part": reference - d}, {"part": reference - d, **noise})
    )
    assert (alone.verdict, many.verdict) == ("no difference", "undecided")
    assert many.p_same == pytest.approx(4 * stats.t.sf(effect / stats.sem(d), 7))


def test_at_least_the_smallest_effect_is_said_where_it_was_tested() -> None:
    d = np.linspace(0.008, 0.012, 10)
    reference = np.full(10, 0.9)
    small, large = (
        compare(reference - d, reference=reference, effect=effect) for effect in (0.0085, 0.0079)
    )
    assert small.verdict == large.verdict == "helps"
    assert small.difference.low > 0.0085, "the plant needs other numbers"
    assert (small.at_least_smallest, large.at_least_smallest) == (True, True)
    just = compare(reference - d, reference=reference, effect=0.0097)
    assert just.difference.mean > 0.0097 > just.difference.low
    assert (just.verdict, just.at_least_smallest) == ("helps", False)


def test_numbers_equal_those_of_the_single_functions_and_of_scipy() -> None:
    rng = np.random.default_rng(4)
    arms = {f"arm{i}": BASE - i * 0.004 + rng.normal(0, 0.004, SEEDS) for i in range(4)}
    got = compare_arms(BASE, arms, higher_is_better=True, smallest_effect=0.001, confidence=0.9)
    assert [c.name for c in got] == list(arms)
    np.testing.assert_array_equal([c.p_holm for c in got], holm([c.p for c in got]))
    for c, arm in zip(got, arms.values(), strict=True):
        d = BASE - arm
        assert c.p == sign_flip_test(d)
        low, high = stats.ttest_rel(BASE, arm).confidence_interval(0.9)
        np.testing.assert_allclose([c.difference.low, c.difference.high], [low, high])
        assert c.correlation == pytest.approx(stats.pearsonr(BASE, arm).statistic)
        assert c.mde == pytest.approx(minimum_detectable_effect(d.std(ddof=1), SEEDS, 0.1 / 4))


def test_more_arms_ask_for_more_evidence() -> None:
    reference = np.full(8, 0.9)
    strong = reference - np.linspace(0.05, 0.06, 8)  # p = 2/256
    alone = compare(strong, reference=reference)
    many = compare_arms(
        reference,
        {"strong": strong, **{f"idle{i}": reference for i in range(6)}},
        higher_is_better=True,
        smallest_effect=0.005,
    )[0]
    assert (alone.verdict, many.verdict) == ("helps", "undecided")
    assert many.p_holm == pytest.approx(7 * 2 / 256)


def test_no_arms() -> None:
    assert compare_arms(BASE, {}, higher_is_better=True, smallest_effect=0.0) == []


def test_any_false_claim_is_as_rare_as_promised() -> None:
    rng, wrong, repeats = np.random.default_rng(7), 0, 300
    for _ in range(repeats):
        shared = rng.normal(0.9, 0.02, 9)
        # One reference and five idle parts: the comparisons share the reference
        scores = shared + rng.normal(0, 0.01, (6, 9))
        arms = {str(i): row for i, row in enumerate(scores[1:])}
        found = compare_arms(scores[0], arms, higher_is_better=True, smallest_effect=0.0)
        wrong += any(c.verdict in ("helps", "hurts") for c in found)
    assert 0 < wrong / repeats < 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


def test_equivalence_is_claimed_wrongly_as_rarely_as_promised() -> None:
    # the true effect sits on the boundary, where two one-sided tests err most: at most alpha
    rng, repeats = np.random.default_rng(8), 600
    d = 0.005 + rng.normal(0, 0.003, (repeats, 10))
    wrong = [compare(-row, reference=np.zeros(10)).verdict == "no difference" for row in d]
    assert 0 < np.mean(wrong) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"arms": {"dropout": BASE[:3]}},
            r"expected arm 'dropout' as \(12,\), one score per seed of the reference, got \(3,\)",
        ),
        ({"arms": {"dropout": 0.5}}, r"expected `dropout` as \(seeds,\), got shape \(\)"),
        ({"reference": BASE[None]}, r"expected `reference` as \(seeds,\), got shape \(1, 12\)"),
        ({"smallest_effect": -0.1}, r"`smallest_effect` must be >= 0, got -0.1"),
        ({"confidence": 0.5}, r"`confidence` must lie in \(0.5, 1\), got 0.5"),
    ],
)
def test_refuses_what_cannot_be_compared(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {
        "reference": BASE,
        "arms": {"a": BASE},
        "higher_is_better": True,
        "smallest_effect": 0.0,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        compare_arms(settings.pop("reference"), settings.pop("arms"), **settings)
