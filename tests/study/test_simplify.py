"""The way back: what goes together, what comes back, at what level each check tests, and that
failing costs no more than said.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.study.doubles import Pretender
from tests.study.test_ablate import ablate_with, full_recipe

from winnow.recipe import Ablate, Recipe, Variant
from winnow.study import most_trainings
from winnow.study._simplify import MOST_CHECKS, levels

SEEDS = 10


def lenient() -> Recipe:
    return full_recipe(ablate=Ablate(seeds=SEEDS, smallest_effect=0.01, accept="mean"))


def trainings(trainer: Pretender) -> list[int]:
    return [len(batch) for batch in trainer.batches]


def needed(v: Variant) -> float:
    """All but dropout, clipping and nesterov matter."""
    t = v.train
    return 0.9 - 0.2 * (
        (not t.optimizer.momentum) + (not t.label_smoothing) + (t.schedule.kind == "constant")
    )


def test_of_two_parts_that_stand_in_for_each_other_one_goes() -> None:
    def redundant(v: Variant) -> float:
        return needed(v) - 0.2 * (not v.train.dropout and not v.train.clip_norm)

    ablation, trainer = ablate_with(redundant)
    gone = set(ablation.dropped)
    assert "nesterov" in gone
    assert len(gone & {"dropout", "clip_norm"}) == 1
    assert set(ablation.simplification.kept) == {"dropout", "clip_norm"} - gone
    first, *rest = ablation.simplification.checks
    assert not first.accepted
    assert "together they matter" in first.reason
    assert any(check.accepted for check in rest)
    assert redundant(ablation.simplified.variant(1, metric="accuracy", context="")) == 0.9
    assert sum(trainings(trainer)[1:]) <= most_trainings(SEEDS, 3)
    document = ablation.to_dict()["simplified"]
    assert set(document["dropped"]) == gone
    assert not document["accepted"]
    assert Recipe.from_yaml(document["recipe_yaml"]) == ablation.simplified


def test_what_stays_dropped_was_tested_against_the_full_recipe_itself() -> None:
    def redundant(v: Variant) -> float:
        return 0.9 if v.train.dropout or v.train.clip_norm else 0.7

    ablation, _ = ablate_with(redundant)
    (passed,) = [
        c for c in ablation.simplification.checks if set(c.without) == set(ablation.dropped)
    ]
    assert passed.accepted
    assert ablation.simplified == ablation.recipe.without(*passed.without)


def test_parts_that_change_no_prediction_go_without_another_training() -> None:
    r = full_recipe(train=full_recipe().train.model_copy(update={"dropout": None}))

    def digest(v: Variant) -> str:  # clipping never bites
        return repr((v.seed, v.train.optimizer, v.train.label_smoothing, v.train.schedule))

    def score(v: Variant) -> float:  # whatever else goes, the scores fall
        t = v.train
        return (
            0.9
            - 0.1 * (t.label_smoothing == 0)
            - 0.1 * (not t.optimizer.nesterov)
            - 0.1 * (t.schedule.kind == "constant")
        )

    ablation, trainer = ablate_with(score, r, own=0.0, digest=digest)
    assert ablation.dropped == ("clip_norm",)
    assert len(trainer.batches) == 1
    assert ablation.simplification.reason == "not one prediction changed without it on any seed"


def alike(v: Variant) -> str:
    """Dropout, clipping and nesterov change nothing; but without dropout and clipping
    predictions change.
    """
    t = v.train
    both_gone = not t.dropout and not t.clip_norm
    return repr((v.seed, t.optimizer.momentum, t.label_smoothing, t.schedule, both_gone))


def all_matter(v: Variant) -> float:
    return needed(v) - 0.3 * (not v.train.dropout and not v.train.clip_norm)


def test_identical_parts_that_matter_together_do_not_all_go() -> None:
    ablation, trainer = ablate_with(all_matter, own=0.0, digest=alike)
    first, *_ = ablation.simplification.checks
    assert set(first.without) == {"dropout", "clip_norm", "nesterov"}
    assert not first.accepted
    assert "together they do" in first.reason
    assert first.full.n == SEEDS
    assert "nesterov" in ablation.dropped
    assert len({"dropout", "clip_norm"} & set(ablation.dropped)) == 1
    assert trainings(trainer)[1] == SEEDS, "the full recipe was trained on these seeds already"


def test_identical_parts_go_together_when_nothing_changes() -> None:
    ablation, trainer = ablate_with(
        needed,
        own=0.0,
        digest=lambda v: repr(
            (v.seed, v.train.optimizer.momentum, v.train.label_smoothing, v.train.schedule)
        ),
    )
    assert set(ablation.dropped) == {"dropout", "clip_norm", "nesterov"}
    assert trainings(trainer) == [7 * SEEDS, SEEDS]


def test_the_mean_alone_accepts_only_when_it_is_asked_to() -> None:
    # Without these parts: no worse on average, but far noisier, on the seeds of the check alone
    def score(v: Variant) -> float:
        simplified = not (v.train.dropout or v.train.clip_norm or v.train.optimizer.nesterov)
        return 0.9 + simplified * (0.02 + 0.2 * np.random.default_rng([6, v.seed]).normal())

    strict, _ = ablate_with(score, shared=0.0)
    check = strict.simplification.checks[0]
    assert check.difference.low < -0.01 <= check.difference.mean, "the plant needs another seed"
    assert not check.accepted
    assert strict.simplified == strict.recipe
    assert "cannot show that nothing is lost" in check.reason
    lax, _ = ablate_with(score, lenient(), shared=0.0)
    assert lax.simplification.checks[0].accepted
    assert (
        "accepted on the mean alone, as asked for (ablate.accept: mean): a loss of up to"
        in lax.simplification.reason
    )


def test_checks_stop_where_none_could_pass() -> None:
    def score(v: Variant) -> float:
        simplified = not (v.train.dropout or v.train.clip_norm or v.train.optimizer.nesterov)
        return 0.9 + simplified * 0.2 * np.random.default_rng([6, v.seed]).normal()

    _, trainer = ablate_with(score, shared=0.0)
    assert trainings(trainer) == [7 * SEEDS, 2 * SEEDS]


def test_a_simplified_recipe_that_diverges_is_rejected() -> None:
    def fragile(v: Variant) -> float:
        return 0.9 if v.train.dropout or v.train.clip_norm or v.seed % 2 else math.nan

    for recipe in (full_recipe(), lenient()):
        ablation, _ = ablate_with(fragile, recipe)
        check = ablation.simplification.checks[0]
        assert not check.accepted
        assert "trainings failed without these parts, 0 with them" in check.reason
        assert ablation.simplified.train.dropout or ablation.simplified.train.clip_norm


@pytest.mark.parametrize("finished", [0, 1, 4])
def test_trainings_that_failed_show_nothing(finished: int) -> None:
    on_first: set[int] = set()

    def score(v: Variant) -> float:
        """All parts make no difference on the seeds of the ablation; of the fresh seeds only so
        many do not fail.
        """
        if len(on_first) < SEEDS or v.seed in on_first:
            on_first.add(v.seed)
            return 0.9
        fresh.setdefault(v.seed, len(fresh))
        return 0.9 if fresh[v.seed] % SEEDS < finished else math.nan

    fresh: dict[int, int] = {}
    ablation, _ = ablate_with(
        score, shared=0.0, own=0.0, digest=lambda v: v.id if v.seed in on_first else "the same"
    )
    checks = [c for c in ablation.simplification.checks if c.difference.lost]
    assert checks
    for check in checks:
        assert not check.accepted
        assert f"only {finished} pairs of trainings finished" in check.reason


def test_each_check_has_fresh_seeds_and_its_share_of_alpha() -> None:
    ablation, trainer = ablate_with(lambda v: 0.9 if v.train.dropout or v.train.clip_norm else 0.7)
    seeds = [{v.seed for v in batch} for batch in trainer.batches]
    assert all(len(s) == SEEDS for s in seeds)
    assert len(set.union(*seeds)) == SEEDS * len(seeds)
    shares = levels(MOST_CHECKS, 0.05)
    assert [
        (1 - c.difference.confidence) / 2 for c in ablation.simplification.checks
    ] == pytest.approx(shares[: len(ablation.simplification.checks)])
    check = ablation.simplification.checks[0]
    oracle = stats.ttest_1samp(_differences(trainer, 1), 0.0).confidence_interval(1 - 2 * shares[0])
    half_a_row = 1 / 2000 / 2 / SEEDS
    assert (check.difference.low, check.difference.high) == pytest.approx(
        (oracle.low - half_a_row, oracle.high + half_a_row)
    )


def _differences(trainer: Pretender, batch: int) -> Any:
    scores = np.array([trainer._outcome(v).score for v in trainer.batches[batch]])
    return scores[SEEDS:] - scores[:SEEDS]


@pytest.mark.parametrize("checks", [1, 2, 3, 5])
def test_the_shares_add_up_to_alpha(checks: int) -> None:
    assert sum(levels(checks, 0.05)) == pytest.approx(0.05)
    assert levels(0, 0.05) == []


def test_the_budget() -> None:
    assert most_trainings(10, 0) == 0
    assert most_trainings(10, 1) == 20
    assert most_trainings(10, 2) == 3 * 20 + 10
    assert most_trainings(10, 9) == MOST_CHECKS * 20 + 10
    assert most_trainings(4, 9) == 4, "four seeds show nothing but that no prediction changes"


def test_never_more_trainings_than_planned() -> None:
    rng = np.random.default_rng(0)
    for i in range(8):
        bad = {
            pair: rng.random() < 0.5
            for pair in [
                ("dropout", "clip_norm"),
                ("dropout", "nesterov"),
                ("clip_norm", "nesterov"),
            ]
        }

        def score(v: Variant, bad: dict[tuple[str, str], bool] = bad) -> float:
            off = {
                "dropout": not v.train.dropout,
                "clip_norm": not v.train.clip_norm,
                "nesterov": not v.train.optimizer.nesterov,
            }
            return 0.9 - 0.2 * any(is_bad and off[a] and off[b] for (a, b), is_bad in bad.items())

        digest = alike if i % 2 else None
        _, trainer = ablate_with(score, digest=digest)
        assert sum(trainings(trainer)[1:]) <= most_trainings(SEEDS, 6)
