"""Scores and paired drops, held against scikit-learn, SciPy, hand arithmetic and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats
from sklearn import metrics

from winnow.compression._rare import Changes, upper_end, when_nothing_is_known
from winnow.compression._score_loss import Judge
from winnow.errors import ModelError
from winnow.metrics import ROCAUC
from winnow.stats import Interval

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
    assert found.drop(before, after).mean == pytest.approx(
        sign * (measure(before) - measure(after)), abs=1e-12
    )


@pytest.mark.parametrize(
    ("metric", "measure", "sign"),
    [
        ("rmse", metrics.root_mean_squared_error, -1),
        ("mae", metrics.mean_absolute_error, -1),
        ("r2", metrics.r2_score, 1),
    ],
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


@pytest.mark.parametrize("classes", [2, 3])
def test_the_drop_of_roc_auc_is_that_of_scikit_learn_and_its_interval_delongs(classes: int) -> None:
    y = np.minimum(Y, classes - 1)
    found = Judge("roc_auc", "classification", y, lambda outputs: outputs)
    before, after = found.predictions(LOGITS[:, :classes]), found.predictions(OTHER[:, :classes])

    def auc(p: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
        if classes == 2:
            return float(metrics.roc_auc_score(y[rows], p[rows, 1]))
        return float(metrics.roc_auc_score(y[rows], p[rows], multi_class="ovr"))

    drop = found.drop(before, after)

    assert drop.mean == pytest.approx(auc(before) - auc(after), abs=1e-12)
    rng, inside = np.random.default_rng(0), [np.flatnonzero(y == c) for c in range(classes)]
    resampled = [
        auc(before, rows) - auc(after, rows)
        for rows in (np.concatenate([rng.choice(i, len(i)) for i in inside]) for _ in range(400))
    ]
    assert drop.mean - drop.low == pytest.approx(1.97 * np.std(resampled), rel=0.12)
    # More: rare rows that lose much may not have been seen
    assert drop.high - drop.mean > 1.8 * np.std(resampled)


def test_the_log_loss_is_a_mean_over_rows() -> None:
    found = judge("log_loss")
    before, after = found.predictions(LOGITS), found.predictions(OTHER)
    losses = (-np.log(p[np.arange(200), Y]) for p in (after, before))
    expected = stats.ttest_rel(*losses).confidence_interval(0.95)

    drop = found.drop(before, after)

    assert drop.low == pytest.approx(expected.low, abs=0.15 * (expected.high - expected.low))
    # Losses of single rows are skewed to that side, and rare ones may not have been seen
    assert drop.high > expected.high
    assert drop.n == 200


@pytest.mark.parametrize("metric", ["rmse", "mae", "r2"])
def test_regression_drops_have_the_lower_half_width_of_the_bootstrap(metric: str) -> None:
    found = regression(metric)
    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(1000):
        rows = rng.integers(0, len(TARGET), len(TARGET))
        part = Judge(metric, "regression", TARGET[rows], lambda outputs: outputs)
        resampled.append(part.score(GUESS[rows]) - part.score(WORSE[rows]))

    drop = found.drop(GUESS, WORSE)

    assert drop.mean - drop.low == pytest.approx(1.97 * np.std(resampled), rel=0.15)
    assert drop.high - drop.mean > 1.8 * np.std(resampled)
    assert drop == found.drop(GUESS, WORSE)


def test_one_row_says_nothing_about_spread() -> None:
    one = Judge("rmse", "regression", TARGET[:1], lambda outputs: outputs)

    # No error can become less than 0
    assert one.drop(GUESS[:1], WORSE[:1]).low == pytest.approx(-abs(GUESS[0] - TARGET[0]))
    assert one.drop(GUESS[:1], WORSE[:1]).high == math.inf


@pytest.mark.parametrize(
    "metric", ["accuracy", "balanced_accuracy", "log_loss", "roc_auc", "rmse", "mae", "r2"]
)
def test_equal_predictions_do_not_exclude_a_loss_on_other_rows(metric: str) -> None:
    is_class = metric in ("accuracy", "balanced_accuracy", "log_loss", "roc_auc")
    found = judge(metric) if is_class else regression(metric)
    same = found.predictions(LOGITS) if is_class else GUESS

    drop = found.drop(same, same)

    assert drop.mean == 0
    assert drop.low < 0 < drop.high


def test_an_error_free_reference_leaves_the_share_of_its_errors_open() -> None:
    assert regression("rmse").drop(TARGET, GUESS).high == math.inf


def test_balanced_accuracy_is_drawn_from_the_classes_that_have_rows() -> None:
    y = np.array([0, 0, 0, 2, 2, 2])
    found = Judge("balanced_accuracy", "classification", y, lambda outputs: outputs)
    right, wrong = np.eye(3)[y], np.eye(3)[[0, 0, 0, 2, 2, 0]]

    assert found.drop(right, wrong).mean == pytest.approx(1 / 6)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "rmse"])
def test_so_many_rows_would_decide(metric: str) -> None:
    """So many copies of the rows, and the drop is within what is allowed; a tenth fewer, and it
    is not.
    """
    is_class = metric != "rmse"
    found = judge(metric) if is_class else regression(metric)
    before = found.predictions(LOGITS) if is_class else GUESS
    after = found.predictions(OTHER) if is_class else WORSE
    mean = found.drop(before, after).mean
    allowed = (1.2 if metric == "accuracy" else 2) * mean

    needed = found.rows_needed(before, after, allowed)

    assert needed is not None
    for share, is_enough in ((1.05, True), (0.9, False)):
        copies = round(share * needed / len(before))
        y, one, two = (np.tile(a, (copies, *[1] * (a.ndim - 1))) for a in (found.y, before, after))
        many = Judge(metric, found.task, np.ravel(y), found.decode)
        one, two = (a if is_class else a.ravel() for a in (one, two))
        assert (many.drop(one, two).high <= allowed) is is_enough
    assert found.rows_needed(before, after, mean / 2) is None


# -- rare losses, none of which may have been seen -------------------------------------------------


def test_where_nothing_is_known_rows_get_other_rows_answers() -> None:
    """All pairs of different rows, against a slow loop."""
    y, p = TARGET[:9], GUESS[:9]

    found = when_nothing_is_known(lambda rows: np.abs(p[rows] - y), 9)

    slow = [abs(p[j] - y[i]) - abs(p[i] - y[i]) for i in range(9) for j in range(9) if i != j]
    np.testing.assert_allclose(np.sort(found), np.sort(slow))
    assert len(when_nothing_is_known(lambda rows: p[rows % 9], 1000)) == 64 * 1000


def test_unseen_rows_cost_what_the_exact_share_of_them_loses() -> None:
    """No change on n rows: by hand, a share of 1 - alpha ** (1 / n), each as bad as the mean of
    what is large.
    """
    ignorant = np.array([0.0, 0.0, 0.0, 4.0, 6.0])  # large above (2 / 8), so 5 - 0.25 beyond it
    changes = Changes(np.zeros(300), ignorant)

    high = upper_end(0.0, [changes], confidence=0.95, times=1)

    assert high == pytest.approx(4.75 * (1 - (0.025 * 0.8) ** (1 / 300)))
    more = upper_end(0.0, [Changes(np.zeros(3000), ignorant)], confidence=0.95, times=1)
    assert more == pytest.approx(upper_end(0.0, [changes], confidence=0.95, times=10))


def test_rows_that_lost_much_are_counted() -> None:
    rows = np.append(np.zeros(198), [9.25, 11.25])  # 10 beyond the threshold, on average
    changes = Changes(rows, np.array([0.0, 0.0, 0.0, 4.0, 6.0]))

    highest = stats.binomtest(2, 200).proportion_ci(1 - 2 * 0.025 * 0.8).high
    assert changes.unseen(0.025 * 0.8, times=1) == pytest.approx(10 * (highest - 0.01))


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "rmse", "mae", "r2"])
def test_a_candidate_that_changed_nothing_needs_some_hundred_rows(metric: str) -> None:
    """Four rows in n that lose all that is known of them may be there."""
    is_class = metric in ("log_loss", "roc_auc")
    found = judge(metric) if is_class else regression(metric)
    same = found.predictions(LOGITS) if is_class else GUESS
    allowed = found.allowed(0.02, found.score(same))

    assert found.drop(same, same).high > allowed
    needed = found.rows_needed(same, same, allowed)

    assert needed is not None
    assert 300 < needed < 30_000
    assert found.drop(same, same, times=1.02 * needed / len(found.y)).high <= allowed


# -- areas under the ROC curve ---------------------------------------------------------------------


def binary(scores: np.ndarray) -> np.ndarray:
    p = special.expit(scores)
    return np.column_stack([1 - p, p])


def area_drop(before: np.ndarray, after: np.ndarray, y: np.ndarray) -> Interval:
    return Judge("roc_auc", "classification", y, lambda outputs: outputs).drop(before, after)


def test_the_area_interval_is_delongs_on_many_rows() -> None:
    rng = np.random.default_rng(5)
    y = (rng.random(3000) < 0.3).astype(int)
    before = y + rng.standard_normal(3000)
    after = before + 0.5 * rng.standard_normal(3000)
    # by the pairs themselves: the placements are means of rows and columns of the matrix of
    # comparisons
    pairs = [(s[y == 1][:, None] > s[y == 0][None]).astype(float) for s in (before, after)]
    difference = pairs[0] - pairs[1]
    error = math.sqrt(
        difference.mean(1).var(ddof=1) / (y == 1).sum()
        + difference.mean(0).var(ddof=1) / (y == 0).sum()
    )

    found = area_drop(binary(before), binary(after), y)

    assert found.mean == pytest.approx(difference.mean())
    assert found.mean - found.low == pytest.approx(1.96 * error, rel=0.03)
    assert found.high - found.mean > 1.96 * error


@pytest.mark.parametrize(("classes", "noise"), [(2, 0.6), (3, 0.6), (2, 0.1)])
def test_the_area_interval_covers_the_truth_as_often_as_it_says(classes: int, noise: float) -> None:
    rng = np.random.default_rng(3)
    share = [0.85, 0.15] if classes == 2 else [0.5, 0.3, 0.2]

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y = np.sort(rng.choice(classes, n, p=share))
        logits = 1.5 * np.eye(classes)[y] + rng.standard_normal((n, classes))
        return (
            special.softmax(logits, 1),
            special.softmax(logits + noise * rng.standard_normal(logits.shape), 1),
            y,
        )

    before, after, y = draw(400_000)
    truth = (ROCAUC.pairs(y, before) - ROCAUC.pairs(y, after)).sum() / 2
    covered = 0
    for _ in range(600):
        before, after, y = draw(120)
        found = area_drop(before, after, y)
        covered += found.low <= truth <= found.high

    assert covered / 600 >= 0.93  # more often where rare losses are allowed for


# -- budget ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("accuracy", 0.01), ("r2", 0.01), ("log_loss", 0.01), ("rmse", 0.5), ("mae", 0.5)],
)
def test_a_budget_is_absolute_but_a_share_where_the_unit_is_the_targets(
    metric: str, expected: float
) -> None:
    assert judge(metric).allowed(0.01, 50.0) == pytest.approx(expected)


def test_a_metric_that_is_not_defined_is_refused() -> None:
    with pytest.raises(ModelError, match="r2 is not defined for this regression on these 3 rows"):
        Judge("r2", "regression", np.ones(3), lambda outputs: outputs).score(np.ones(3))
    with pytest.raises(ModelError, match="rmse is not defined for this classification"):
        judge("rmse").score(judge("rmse").predictions(LOGITS))
