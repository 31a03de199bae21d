"""The final training: fresh seeds, the best ships, weights come back as they were saved."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.study.doubles import Pretender, recipe

from winnow import models
from winnow.errors import ModelError, RecipeError, WorkspaceError
from winnow.methods import SGD
from winnow.recipe import Final, Log, Recipe, Train, Variant
from winnow.study import train


def train_with(score: Any, r: Recipe | None = None, **more: Any) -> tuple[Any, Pretender]:
    trainer = Pretender(score, **more)
    return train(r or recipe(final=Final(seeds=5)), runner=trainer), trainer  # type: ignore[arg-type]


def by_seed(v: Variant) -> float:
    return 0.9 + 0.01 * float(np.random.default_rng(v.seed).normal())


@pytest.mark.parametrize(("metric", "pick"), [("accuracy", np.argmax), ("log_loss", np.argmin)])
def test_the_member_with_the_best_validation_score_ships(metric: str, pick: Any) -> None:
    trained, trainer = train_with(by_seed, metric=metric)
    values = [o.score for o in trained.outcomes]
    assert trained.best == pick(values)
    assert len(set(values)) == 5
    assert trained.score.mean == pytest.approx(np.mean(values))
    assert trained.score.n == 5
    assert trainer.kept == [True]


def test_seeds_are_fresh_and_follow_from_the_recipe() -> None:
    one, again, other = (
        [v.seed for v in train_with(by_seed, recipe(seed=seed, final=Final(seeds=5)))[0].variants]
        for seed in (0, 0, 1)
    )
    assert one == again
    assert len(set(one)) == 5
    assert not set(one) & set(other)


def test_more_seeds_begin_with_the_same_ones() -> None:
    few, many = (train(recipe(), seeds=n, runner=Pretender(by_seed)) for n in (2, 4))  # type: ignore[arg-type]
    assert [v.id for v in many.variants[:2]] == [v.id for v in few.variants]


def test_failed_members_do_not_ship() -> None:
    best = max(train_with(by_seed)[0].variants, key=by_seed)
    trained, _ = train_with(lambda v: math.nan if v.seed == best.seed else by_seed(v))
    lost = [v.seed for v in trained.variants].index(best.seed)
    assert trained.best != lost
    assert lost not in trained.finished
    assert len(trained.finished) == 4
    assert trained.score.n == 4
    assert trained.score.lost == 1
    with pytest.raises(
        ModelError,
        match=f"member {lost} has no weights, because its training failed: the loss became NaN",
    ):
        trained.module(lost)


def test_all_failing_is_an_error_with_the_reason() -> None:
    with pytest.raises(
        ModelError, match=r"all 5 final trainings failed: the loss became NaN \(5 of them\)"
    ):
        train_with(lambda v: math.nan)


def test_open_settings_are_refused() -> None:
    with pytest.raises(
        RecipeError,
        match=r"the final training needs a recipe with nothing open, found 1 open setting",
    ):
        train_with(by_seed, recipe(train=Train(optimizer=SGD(lr=Log(1e-3, 1)))))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("float64", torch.float64), ("bfloat16", torch.float32)],
)
def test_a_module_has_the_weights_that_were_saved(
    tmp_path: Path, precision: Any, dtype: torch.dtype
) -> None:
    trained, trainer = train_with(by_seed, recipe(train=Train(precision=precision)), path=tmp_path)
    for i, v in enumerate(trained.variants):
        other = models.build(v.model, in_shape=(4,), out_features=3, seed=100 + i).to(dtype)
        with torch.no_grad():
            for p in other.parameters():
                p.add_(1e-9)  # survives in float64 only
        trainer.workspace.save_weights(v.id, other.state_dict())
        x = torch.randn(6, 4, dtype=dtype, generator=torch.Generator().manual_seed(i))
        module = trained.module(i)
        assert not module.training
        torch.testing.assert_close(module(x), other.eval()(x), rtol=0, atol=0)


def test_wrong_positions_and_lost_weights_are_refused(tmp_path: Path) -> None:
    trained, trainer = train_with(by_seed, path=tmp_path)
    with pytest.raises(ModelError, match="no member 5: expected 0 to 4"):
        trained.module(5)
    with pytest.raises(WorkspaceError, match="were not kept"):
        trained.module()
    trainer.workspace.save_weights(trained.variants[0].id, {"x": torch.zeros(1)})
    with pytest.raises(ModelError, match="do not fit its model"):
        trained.module(0)


def test_the_document_is_strict_json() -> None:
    best = max(train_with(by_seed)[0].variants, key=by_seed)
    trained, trainer = train_with(lambda v: math.nan if v.seed == best.seed else by_seed(v))
    document = trainer.workspace.ledger.documents["final"]
    assert document == json.loads(json.dumps(document, allow_nan=False))
    assert (
        document["seeds"]
        == [o["seed"] for o in document["outcomes"]]
        == [v.seed for v in trained.variants]
    )
    assert document["shipped"] == trained.best
    assert Recipe.from_yaml(document["recipe_yaml"]) == trained.recipe
    assert {o["status"] for o in document["outcomes"]} == {"finished", "failed"}


def test_equal_scores_have_a_width_and_keep_the_range() -> None:
    trained, _ = train_with(lambda v: 1.0)
    rows = len(trained.prepared.validation)
    assert (trained.score.low, trained.score.high) == pytest.approx((1 - 1 / rows, 1.0))
