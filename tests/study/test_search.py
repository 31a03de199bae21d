"""Search: known optima, fresh seeds, failures, and the same answer whoever trains. Oracles:
closed form and SciPy.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.study.doubles import Pretender, recipe

from winnow.errors import ModelError, RecipeError
from winnow.methods import SGD, AdamW
from winnow.recipe import (
    Choice,
    Integer,
    Log,
    Model,
    Recipe,
    Search,
    Train,
    Uniform,
    Variant,
    derive_seed,
)
from winnow.study import Study, conduct, plan_search, search


def configurable(size: object) -> None:
    """Stands for a user's model; nothing here builds it."""


def open_recipe(**more: Any) -> Recipe:
    train = Train(optimizer=SGD(lr=Log(1e-4, 1.0)), label_smoothing=Uniform(0, 0.5))
    return recipe(train=train, search=Search(trials=32, batch=8, leaders=3, seeds=4), **more)


def quality(v: Variant) -> float:
    return (
        0.95
        - 0.05 * (math.log10(v.train.optimizer.lr) + 1) ** 2
        - (v.train.label_smoothing - 0.1) ** 2
    )


def found_with(
    score: Any = quality, r: Recipe | None = None, **noise: Any
) -> tuple[Any, Pretender]:
    trainer = Pretender(score, **noise)
    return search(r or open_recipe(), runner=trainer), trainer  # type: ignore[arg-type]


def test_it_finds_the_known_optimum() -> None:
    found, _ = found_with()
    assert found.best.ranges() == {}
    assert abs(math.log10(found.best.train.optimizer.lr) + 1) < 0.4
    assert found.score.mean > 0.94


def test_the_trainer_hears_how_many_trainings_are_still_to_come() -> None:
    _, trainer = found_with()
    # 32 trials in eights, then three leaders on four seeds
    assert trainer.ahead == [36, 28, 20, 12, 0]


def test_a_metric_where_less_is_better_goes_the_other_way() -> None:
    found, _ = found_with(lambda v: 100 - 100 * quality(v), metric="rmse")
    assert abs(math.log10(found.best.train.optimizer.lr) + 1) < 0.4
    assert found.leaders[0].score.mean == min(leader.score.mean for leader in found.leaders)
    assert {t.number for t in sorted(found.trials, key=lambda t: t.score)[:3]} == {
        leader.trial.number for leader in found.leaders
    }


def test_the_winner_is_named_by_fresh_seeds_not_by_its_lucky_trial() -> None:
    lucky = derive_seed(0, "search", "training")

    def score(v: Variant) -> float:  # width 8 shines on the seed of the search alone
        return {8: 0.99 if v.seed == lucky else 0.80, 16: 0.90, 32: 0.85}[v.model.args["width"]]

    r = recipe(
        model=Model("mlp", args={"width": Choice(8, 16, 32)}),
        search=Search(trials=3, batch=3, leaders=2, seeds=3),
    )
    found, _ = found_with(score, r)
    assert max(found.trials, key=lambda t: t.score).values == {"model.args.width": 8}
    assert found.best.model.args["width"] == 16
    assert found.score.mean == pytest.approx(0.90)


def test_the_interval_is_students_over_the_fresh_scores_alone() -> None:
    found, _ = found_with(shared=0.01, own=0.01)
    for leader in found.leaders:
        assert len(leader.scores) == 4
        low, high = stats.t.interval(
            0.95, 3, loc=np.mean(leader.scores), scale=stats.sem(leader.scores)
        )
        assert (leader.score.low, leader.score.high) == pytest.approx((low, high))
        assert leader.score.mean == pytest.approx(np.mean(leader.scores))
    assert found.score == found.leaders[0].score


def test_trials_share_a_seed_and_leaders_share_fresh_ones() -> None:
    found, trainer = found_with()
    assert len({t.variant.seed for t in found.trials}) == 1
    fresh = {tuple(v.seed for v in leader.variants) for leader in found.leaders}
    assert len(fresh) == 1
    assert len(set(*fresh)) == 4
    assert not set(*fresh) & {found.trials[0].variant.seed}
    assert {v.context for v in trainer.trained} == {"pretended"}
    assert [len(batch) for batch in trainer.batches] == [8, 8, 8, 8, 12]


def test_the_same_recipe_asks_for_the_same_variants_whoever_trains() -> None:
    _, trainer = found_with(own=0.01)
    for at_once in (1, 5):
        other = Pretender(quality, own=0.01)
        conduct(
            Study("search", plan_search(open_recipe(), metric="accuracy", context="pretended")),
            other,
            at_once=at_once,
        )
        assert [v.id for v in other.trained] == [v.id for v in trainer.trained]
    reseeded = Pretender(quality)
    search(open_recipe(seed=1), runner=reseeded)  # type: ignore[arg-type]
    assert not {v.id for v in reseeded.trained} & {v.id for v in trainer.trained}


def test_failed_trials_are_kept_with_their_reason_and_lead_nowhere() -> None:
    def score(v: Variant) -> float:
        return math.nan if v.train.optimizer.lr > 0.05 else quality(v)

    found, _ = found_with(score)
    failed = [t for t in found.trials if not t.outcome.finished]
    assert failed
    assert all(math.isnan(t.score) for t in failed)
    assert found.best.train.optimizer.lr <= 0.05
    assert any("trials failed: the loss became NaN" in note for note in found.notes)
    rows = [t for t in found.to_dict()["trials"] if t["status"] == "failed"]
    assert len(rows) == len(failed)
    assert rows[0]["score"] is None
    assert rows[0]["reason"] == "the loss became NaN"


def test_settings_that_fail_on_a_fresh_seed_come_after_those_that_never_do() -> None:
    trial_seed = derive_seed(0, "search", "training")
    first_fresh = derive_seed(0, "confirm", 0)

    def score(v: Variant) -> float:
        if v.model.args["width"] == 8 and v.seed == first_fresh:
            return math.nan
        return {8: 0.99, 16: 0.90}[v.model.args["width"]] - (v.seed == trial_seed) * 0.01

    r = recipe(
        model=Model("mlp", args={"width": Choice(8, 16)}),
        search=Search(trials=2, batch=2, leaders=2, seeds=3),
    )
    found, _ = found_with(score, r)
    assert found.best.model.args["width"] == 16
    assert [leader.score.n for leader in found.leaders] == [3, 2]


def test_all_trials_failing_is_an_error_with_the_reason() -> None:
    with pytest.raises(
        ModelError, match=r"all 32 trials failed: the loss became NaN \(32 of them\)"
    ):
        found_with(lambda v: math.nan)


def test_a_small_space_ends_the_search_with_a_note() -> None:
    r = recipe(
        model=Model("mlp", args={"depth": Integer(1, 3), "width": Choice(8, 16)}),
        search=Search(trials=20, batch=4, leaders=2, seeds=2),
    )
    found, _ = found_with(lambda v: v.model.args["depth"] / 10, r)
    assert len(found.trials) == 6
    assert found.notes == (
        "the ranges allow 6 different settings; all were tried, instead of 20 trials",
    )
    assert found.best.model.args["depth"] == 3


def test_nothing_open_is_refused() -> None:
    with pytest.raises(RecipeError, match="nothing to search: the recipe has no open settings"):
        search(recipe(), runner=Pretender(quality))  # type: ignore[arg-type]


def test_arguments_replace_the_recipes_settings_and_are_checked() -> None:
    trainer = Pretender(quality)
    found = search(
        open_recipe(), trials=6, batch=3, leaders=1, seeds=2, sampler="random", runner=trainer
    )  # type: ignore[arg-type]
    assert [len(batch) for batch in trainer.batches] == [3, 3, 2]
    assert found.recipe.search == Search(trials=6, batch=3, leaders=1, seeds=2, sampler="random")
    with pytest.raises(RecipeError, match=r"search\.trials: .*0") as caught:
        search(open_recipe(), trials=0, seeds=1, runner=trainer)  # type: ignore[arg-type]
    assert [p.setting for p in caught.value.problems] == ["search.trials", "search.seeds"]


def test_the_document_is_strict_json_and_says_everything() -> None:
    r = recipe(
        train=Train(optimizer=Choice(SGD(lr=Log(1e-3, 1)), AdamW())),
        search=Search(trials=8, batch=8, leaders=2, seeds=2),
    )
    found, trainer = found_with(lambda v: math.nan if v.train.optimizer.lr > 0.5 else 0.5, r)
    document = trainer.workspace.ledger.documents["search"]
    assert document == json.loads(json.dumps(document, allow_nan=False))
    assert document.keys() == {
        "sampler",
        "metric",
        "higher_is_better",
        "ranges",
        "trials",
        "leaders",
        "best",
        "notes",
    }
    assert document["ranges"]["train.optimizer.sgd.lr"] == {"log": [1e-3, 1.0]}
    assert [t["number"] for t in document["trials"]] == list(range(8))
    assert Recipe.from_yaml(document["best"]["recipe_yaml"]) == found.best
    assert document["best"]["interval"]["mean"] == found.score.mean


def test_a_choice_of_mixed_kinds_fits_one_column() -> None:
    r = recipe(train=Train(clip_norm=Choice(1, 2.5)), search=Search(trials=2, leaders=1, seeds=2))
    assert set(found_with(lambda v: 0.5, r)[0].table()["train.clip_norm"]) == {1.0, 2.5}
    r = recipe(
        model=Model(configurable, args={"size": Choice(3, "large", (1, 2))}),
        search=Search(trials=3, leaders=1, seeds=2),
    )
    found, trainer = found_with(lambda v: 0.5, r)
    assert set(found.table()["model.args.size"]) == {"3", "large", "(1, 2)"}
    sizes = [
        t["values"]["model.args.size"]
        for t in trainer.workspace.ledger.documents["search"]["trials"]
    ]
    assert sorted(map(repr, sizes)) == ["'large'", "3", "[1, 2]"]


def test_the_table_has_a_row_per_trial_and_a_column_per_setting() -> None:
    r = recipe(
        train=Train(optimizer=Choice(SGD(lr=Log(1e-3, 1)), AdamW())),
        model=Model("mlp", args={"width": Choice(8, 16)}),
        search=Search(trials=12, batch=6, leaders=2, seeds=2),
    )
    table = found_with(lambda v: 0.5, r)[0].table()
    assert table.shape == (12, 6 + 3)
    assert (
        table["train.optimizer.sgd.lr"].null_count()
        == (table["train.optimizer"] == "adamw").sum()
        > 0
    )
    assert set(table["model.args.width"]) <= {8, 16}


def test_leaders_that_score_alike_are_known_to_half_a_row_and_never_beyond_the_metric() -> None:
    trainer = Pretender(lambda v: 0.75, rows=40)
    found = search(open_recipe(), runner=trainer)  # type: ignore[arg-type]
    assert (found.score.low, found.score.high) == pytest.approx((0.75 - 0.5 / 40, 0.75 + 0.5 / 40))
    near_the_top = search(open_recipe(), runner=Pretender(lambda v: 0.99, own=0.02, rows=40))  # type: ignore[arg-type]
    assert near_the_top.score.high == 1.0
