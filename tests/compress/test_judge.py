"""Scores and paired drops, held against scikit-learn, SciPy, hand arithmetic and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from winnow.compress._judge import Judge, paired_area, paired_share
from winnow.errors import ModelError
from winnow.stats import area_parts

RNG = np.random.default_rng(7)
Y = RNG.integers(0, 3, 200)
LOGITS = RNG.standard_normal((200, 3)) + 2 * np.eye(3)[Y]
OTHER = LOGITS + 0.8 * RNG.standard_normal((200, 3))
TARGET = RNG.standard_normal(150) * 40 + 150
GUESS = TARGET + 20 * RNG.standard_normal(150)
WORSE = GUESS + 10 * RNG.standard_normal(150)


def judge(metric: str) -> Judge:
    return Judge(metric, "classification", Y, lambda outputs: outputs)


def regression(metric: str) -> Judge:
    return Judge(metric, "regression", TARGET, lambda outputs: outputs * 40 + 150)


def plain(values: np.ndarray) -> np.ndarray:
    return np.zeros(len(values), dtype=np.int64)


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "roc_auc", "log_loss"])
def test_classification_scores_are_scikit_learns(metric: str) -> None:
    found = judge(metric)
    before, after = found.predictions(LOGITS), found.predictions(OTHER)
    measure = {
        "accuracy": lambda p: metrics.accuracy_score(Y, p.argmax(1)),
        "balanced_accuracy": lambda p: metrics.balanced_accuracy_score(Y, p.argmax(1)),
        "roc_auc": lambda p: metrics.roc_auc_score(Y, p, multi_class="ovr"),
        "log_loss": lambda p: metrics.log_loss(Y, p),
    }[metric]

    assert found.score(before) == pytest.approx(measure(before), abs=1e-12)
    sign = -1 if metric == "log_loss" else 1
    assert found.drop(before, after).mean == pytest.approx(sign * (measure(before) - measure(after)), abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "measure", "sign"),
    [("rmse", metrics.root_mean_squared_error, -1), ("mae", metrics.mean_absolute_error, -1), ("r2", metrics.r2_score, 1)],
)
def test_regression_scores_are_scikit_learns(metric: str, measure: object, sign: int) -> None:
    found = regression(metric)
    assert callable(measure)

    assert found.score(GUESS) == pytest.approx(measure(TARGET, GUESS))
    drop = found.drop(GUESS, WORSE)
    assert drop.mean == pytest.approx(sign * (measure(TARGET, GUESS) - measure(TARGET, WORSE)))
    assert drop.low < drop.mean < drop.high
    assert found.drop(WORSE, GUESS).mean == pytest.approx(-drop.mean)


def test_outputs_come_back_in_the_targets_unit() -> None:
    outputs = np.array([[0.0], [1.0]], dtype=np.float32)

    np.testing.assert_allclose(regression("rmse").predictions(outputs), [150, 190])


@pytest.mark.parametrize("metric", ["log_loss", "mae"])
def test_means_over_rows_have_scipys_paired_t_interval(metric: str) -> None:
    if metric == "mae":
        found, before, after = regression(metric), GUESS, WORSE
        losses = np.abs(before - TARGET), np.abs(after - TARGET)
    else:
        found = judge(metric)
        before, after = found.predictions(LOGITS), found.predictions(OTHER)
        losses = -np.log(before[np.arange(200), Y]), -np.log(after[np.arange(200), Y])

    drop = found.drop(before, after)

    expected = stats.ttest_rel(losses[1], losses[0]).confidence_interval(0.95)
    assert (drop.low, drop.high) == pytest.approx((expected.low, expected.high))
    assert drop.n == len(losses[0])


def test_the_bootstrap_is_seeded_and_close_to_the_delta_method() -> None:
    found = regression("rmse")
    before, after = (GUESS - TARGET) ** 2, (WORSE - TARGET) ** 2
    influence = after / (2 * math.sqrt(after.mean())) - before / (2 * math.sqrt(before.mean()))
    half = 1.96 * influence.std(ddof=1) / math.sqrt(len(TARGET))

    drop = found.drop(GUESS, WORSE)

    assert drop == found.drop(GUESS, WORSE)
    assert (drop.high - drop.low) / 2 == pytest.approx(half, rel=0.1)
    assert drop.kind == "bootstrap"


def test_one_row_says_nothing_about_spread() -> None:
    one = Judge("rmse", "regression", TARGET[:1], lambda outputs: outputs)

    assert (one.drop(GUESS[:1], WORSE[:1]).low, one.drop(GUESS[:1], WORSE[:1]).high) == (-math.inf, math.inf)


# -- shares of right answers -----------------------------------------------------------------------------------------------


def test_the_share_interval_is_agresti_and_mins() -> None:
    reference = np.array([True] * 15 + [False] * 5)
    candidate = np.array([True] * 12 + [False] * 3 + [True] * 1 + [False] * 4)

    found = paired_share(reference, candidate, plain(reference))

    # by hand: 3 lost, 1 won, n = 20; half a pair in each cell: (3.5 - 1.5) / 22 and sqrt(5 - 4 / 22) / 22
    middle, error = 2 / 22, math.sqrt(5 - 4 / 22) / 22
    assert found.mean == pytest.approx(2 / 20)
    assert (found.low, found.high) == pytest.approx((middle - 1.959964 * error, middle + 1.959964 * error))


def test_many_rows_give_the_paired_t_interval() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random(20_000) < 0.9
    candidate = np.where(rng.random(20_000) < 0.05, ~reference, reference)
    expected = stats.ttest_rel(reference.astype(float), candidate.astype(float)).confidence_interval(0.95)

    found = paired_share(reference, candidate, plain(reference))

    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=2e-4)


def test_no_difference_on_few_rows_does_not_exclude_one() -> None:
    same = np.ones(30, dtype=bool)

    found = paired_share(same, same, plain(same))

    assert found.mean == 0
    assert found.high == -found.low == pytest.approx(1.959964 / 32)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_interval_covers_the_truth_as_often_as_it_says(balanced: bool) -> None:
    rng = np.random.default_rng(3)
    strata = np.repeat([0, 1], [40, 20])
    lose, win = np.array([0.06, 0.15])[strata], np.array([0.02, 0.03])[strata]
    shares = np.array([0.5, 0.5]) if balanced else np.array([40, 20]) / 60
    truth = shares @ np.array([0.06 - 0.02, 0.15 - 0.03])
    covered = 0
    for _ in range(1500):
        u = rng.random(60)
        reference, candidate = u >= win, u >= lose + win  # u < win: won; win <= u < lose + win: lost
        candidate = candidate | (u < win)
        found = paired_share(reference, candidate, strata if balanced else plain(strata))
        covered += found.low <= truth <= found.high

    assert 0.93 <= covered / 1500 <= 0.99


def test_strata_of_one_row_each_work() -> None:
    found = paired_share(np.array([True, False]), np.array([False, False]), np.array([0, 1]))

    assert found.mean == 0.5
    assert -1 <= found.low < 0.5 < found.high <= 1


# -- areas under the ROC curve ---------------------------------------------------------------------------------------------


def binary(scores: np.ndarray) -> np.ndarray:
    p = special.expit(scores)
    return np.column_stack([1 - p, p])


def test_the_area_interval_is_delongs_on_many_rows() -> None:
    rng = np.random.default_rng(5)
    y = (rng.random(3000) < 0.3).astype(int)
    before = y + rng.standard_normal(3000)
    after = before + 0.5 * rng.standard_normal(3000)
    # by the pairs themselves: the placements are means of rows and columns of the matrix of comparisons
    pairs = [(s[y == 1][:, None] > s[y == 0][None]).astype(float) for s in (before, after)]
    difference = pairs[0] - pairs[1]
    error = math.sqrt(difference.mean(1).var(ddof=1) / (y == 1).sum() + difference.mean(0).var(ddof=1) / (y == 0).sum())

    found = paired_area(binary(before), binary(after), y)

    assert found.mean == pytest.approx(difference.mean())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.03)


@pytest.mark.parametrize(("classes", "noise"), [(2, 0.6), (3, 0.6), (2, 0.1)])
def test_the_area_interval_covers_the_truth_as_often_as_it_says(classes: int, noise: float) -> None:
    rng = np.random.default_rng(3)
    share = [0.85, 0.15] if classes == 2 else [0.5, 0.3, 0.2]

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y = np.sort(rng.choice(classes, n, p=share))
        logits = 1.5 * np.eye(classes)[y] + rng.standard_normal((n, classes))
        return special.softmax(logits, 1), special.softmax(logits + noise * rng.standard_normal(logits.shape), 1), y

    before, after, y = draw(400_000)
    truth = (area_parts(y, before) - area_parts(y, after)).sum() / 2
    covered = 0
    for _ in range(600):
        before, after, y = draw(120)
        found = paired_area(before, after, y)
        covered += found.low <= truth <= found.high

    assert 0.93 <= covered / 600 <= (0.99 if noise > 0.1 else 1)


def test_equal_rankings_on_few_rows_do_not_exclude_a_change() -> None:
    y = np.repeat([0, 1], [30, 8])
    same = binary(np.arange(38.0))

    found = paired_area(same, same, y)

    assert found.mean == 0
    # by hand: a row of each class that moved past a tenth of the others, and Student's t with 7 degrees of freedom
    assert found.high == -found.low == pytest.approx(stats.t.ppf(0.975, 7) * 0.1 * math.hypot(1 / 8, 1 / 30))


# -- budget ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "expected"), [("accuracy", 0.01), ("r2", 0.01), ("log_loss", 0.01), ("rmse", 0.5), ("mae", 0.5)]
)
def test_a_budget_is_absolute_but_a_share_where_the_unit_is_the_targets(metric: str, expected: float) -> None:
    assert judge(metric).allowed(0.01, 50.0) == pytest.approx(expected)


def test_a_metric_that_is_not_defined_is_refused() -> None:
    with pytest.raises(ModelError, match="r2 is not defined for this regression on these 3 rows"):
        Judge("r2", "regression", np.ones(3), lambda outputs: outputs).score(np.ones(3))
    with pytest.raises(ModelError, match="rmse is not defined for this classification"):
        judge("rmse").score(judge("rmse").predictions(LOGITS))
