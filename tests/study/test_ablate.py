"""Ablate: planted truths with known effects must come back as verdicts, paired seed by seed.
Oracles: the plant, SciPy.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests.study.doubles import Pretender, recipe
from torch import Tensor, nn

from winnow.data import prepare
from winnow.errors import ModelError, RecipeError
from winnow.methods import SGD, Cosine
from winnow.recipe import (
    Ablate,
    Data,
    EarlyStopping,
    Log,
    Model,
    Part,
    Prepare,
    Recipe,
    Train,
    Variant,
)
from winnow.study import ablate, differences
from winnow.study._arms import _assert_only

QUIET = Data(source="sklearn:iris", prepare=Prepare(standardize=False))  # one part fewer


def full_recipe(**more: Any) -> Recipe:
    train = Train(
        optimizer=SGD(momentum=0.9, nesterov=True),
        dropout=0.2,
        label_smoothing=0.1,
        clip_norm=1.0,
        schedule=Cosine(),
    )
    return recipe(
        **{"data": QUIET, "train": train, "ablate": Ablate(seeds=10, smallest_effect=0.01), **more}
    )


def planted(v: Variant) -> float:
    """Momentum helps, dropout and clipping do nothing, label smoothing hurts, the schedule's
    effect drowns in noise.
    """
    t = v.train
    noise = np.random.default_rng([v.seed, 1]).normal() if t.schedule.kind == "constant" else 0.0
    return 0.8 + 0.05 * (t.optimizer.momentum > 0) - 0.03 * (t.label_smoothing > 0) - 0.05 * noise


def ablate_with(
    score: Any = planted, r: Recipe | None = None, **noise: Any
) -> tuple[Any, Pretender]:
    trainer = Pretender(score, **{"shared": 0.05, "own": 0.002, **noise})
    return ablate(r or full_recipe(), runner=trainer), trainer  # type: ignore[arg-type]


def test_planted_effects_come_back_as_verdicts() -> None:
    ablation, _ = ablate_with()
    assert ablation.verdicts() == {
        "momentum": "helps",
        "dropout": "no difference",
        "label_smoothing": "hurts",
        "clip_norm": "no difference",
        "nesterov": "no difference",
        "schedule": "undecided",
    }
    effect = {c.name: c.difference.mean for c in ablation.comparisons}
    assert effect["momentum"] == pytest.approx(0.05, abs=0.003)
    assert effect["label_smoothing"] == pytest.approx(-0.03, abs=0.003)


def test_the_simplified_recipe_lacks_what_does_nothing_or_hurts() -> None:
    ablation, _ = ablate_with()
    assert set(ablation.dropped) == {"dropout", "label_smoothing", "clip_norm", "nesterov"}
    (check,) = ablation.simplification.checks
    assert check.accepted
    assert "shown to be no worse by 0.01 or more" in check.reason
    train = ablation.simplified.train
    assert (train.label_smoothing, train.clip_norm, train.optimizer.nesterov) == (0.0, None, False)
    assert train.optimizer.momentum == 0.9
    assert train.schedule == Cosine()
    assert check.difference.mean == pytest.approx(0.03, abs=0.003)  # what label smoothing cost


def test_differences_are_paired_by_seed_and_p_is_the_sign_flip_tests() -> None:
    ablation, _ = ablate_with()
    reference = np.array(ablation.reference.scores)
    for arm, c in zip(ablation.arms, ablation.comparisons, strict=True):
        d = reference - np.array(arm.scores)
        low, high = stats.t.interval(0.95, 9, loc=d.mean(), scale=stats.sem(d))
        assert (c.difference.low, c.difference.high) == pytest.approx((low, high))
        test = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert c.p == pytest.approx(test.pvalue)
        assert (
            [v.seed for v in arm.variants]
            == list(ablation.seeds)
            == [v.seed for v in ablation.reference.variants]
        )


def test_without_pairing_the_noise_would_hide_the_effects() -> None:
    ablation, _ = ablate_with()
    arm = next(arm for arm in ablation.arms if arm.name == "label_smoothing")
    assert stats.ttest_ind(ablation.reference.scores, arm.scores).pvalue > 0.05
    assert next(c for c in ablation.comparisons if c.name == "label_smoothing").correlation > 0.9


def test_all_arms_are_asked_at_once_and_the_check_uses_fresh_seeds() -> None:
    _, trainer = ablate_with()
    assert [len(batch) for batch in trainer.batches] == [7 * 10, 2 * 10]
    arms, check = ({v.seed for v in batch} for batch in trainer.batches)
    assert len(arms) == len(check) == 10
    assert not arms & check


def test_a_metric_where_less_is_better_keeps_the_sign_of_help() -> None:
    ablation, _ = ablate_with(lambda v: 1 - planted(v), metric="rmse")
    verdicts = ablation.verdicts()
    assert (verdicts["momentum"], verdicts["label_smoothing"]) == ("helps", "hurts")
    (check,) = ablation.simplification.checks
    assert check.accepted
    assert check.difference.mean == pytest.approx(0.03, abs=0.003)


def test_nothing_to_drop_needs_no_check() -> None:
    r = full_recipe(train=Train(optimizer=SGD(momentum=0.9)))
    ablation, trainer = ablate_with(planted, r)
    assert ablation.verdicts() == {"momentum": "helps"}
    assert ablation.dropped == ()
    assert ablation.simplified == ablation.recipe
    assert len(trainer.batches) == 1
    assert ablation.to_dict()["simplified"]["checks"] == []


def test_a_part_without_which_every_training_fails_is_needed() -> None:
    def score(v: Variant) -> float:
        return math.nan if v.train.clip_norm is None else planted(v)

    ablation, _ = ablate_with(score)
    c = next(c for c in ablation.comparisons if c.name == "clip_norm")
    assert (c.verdict, c.n, c.lost, c.failed) == ("needed", 0, 10, 10)
    assert (
        "without clip_norm: 10 of 10 trainings failed: the loss became NaN (10 of them)"
        in ablation.notes
    )
    assert ablation.simplified.train.clip_norm == 1.0


def test_a_part_without_which_half_of_the_trainings_fail_stays() -> None:
    def score(v: Variant) -> float:  # five of the ten seeds of the ablation
        return math.nan if v.train.clip_norm is None and v.seed in failing else planted(v)

    failing: set[int] = set()
    failing.update(ablate_with()[0].seeds[::2])
    ablation, _ = ablate_with(score)
    c = next(c for c in ablation.comparisons if c.name == "clip_norm")
    assert (c.verdict, c.failed, c.failed_with) == ("needed", 5, 0)
    assert ablation.simplified.train.clip_norm == 1.0


def test_early_stopping_stays_and_its_savings_are_told() -> None:
    train = full_recipe().train.model_copy(update={"early_stopping": EarlyStopping()})
    ablation, _ = ablate_with(lambda v: 0.9, full_recipe(train=train))
    assert ablation.verdicts()["early_stopping"] == "no difference"
    assert ablation.simplified.train.early_stopping == EarlyStopping()
    rows = {row["name"]: row["saved"] for row in ablation.to_dict()["comparisons"]}
    saved = rows.pop("early_stopping")
    epochs = [5.0 + seed % 3 for seed in ablation.seeds]
    assert saved["mean"] == np.mean(epochs)
    assert saved["low"] == pytest.approx(
        stats.t.interval(0.95, 9, loc=np.mean(epochs), scale=stats.sem(epochs))[0]
    )
    assert not any(rows.values())
    unread, _ = ablate_with(lambda v: 0.9, full_recipe(train=train), digest=lambda v: "same")
    assert unread.simplified.train.early_stopping == EarlyStopping(), (
        "nor where it changes no prediction"
    )
    worse, _ = ablate_with(
        lambda v: 0.9 - 0.1 * (v.train.early_stopping is not None), full_recipe(train=train)
    )
    assert worse.simplified.train.early_stopping is None


def test_a_margin_below_one_row_shows_nothing_and_says_so() -> None:
    ablation, _ = ablate_with(rows=99)
    assert "no difference" not in ablation.verdicts().values()
    assert any(
        "one of 99 validation rows can move accuracy by 0.01, so no part can be shown" in n
        and "0.011 or more" in n
        for n in ablation.notes
    )
    assert not any("validation rows" in note for note in ablate_with(rows=100)[0].notes)


@pytest.mark.parametrize(("effect", "shown"), [(0.0115, False), (0.012, True)])
def test_a_margin_counts_a_row_of_the_rarest_class(effect: float, shown: bool) -> None:
    """Of 114 validation rows 43 are of the rarer of two classes: one is worth 1 / 86 of
    balanced accuracy, and not 1 / 114.
    """

    class OfRows(Pretender):
        def prepared(self, data: Data) -> Any:
            return prepare(data)

    r = recipe(
        data=Data(source="sklearn:breast_cancer"),
        train=Train(optimizer=SGD(momentum=0.9), clip_norm=1.0),
        ablate=Ablate(seeds=10, smallest_effect=effect, parts=("clip_norm",)),
    )
    smallest = int(np.bincount(prepare(r.data).validation.y).min())  # type: ignore[union-attr]
    assert 1 / (2 * smallest) == pytest.approx(0.01163, abs=1e-5), "the plant needs other numbers"
    trainer = OfRows(
        lambda v: 0.9 + 0.1 * (v.train.clip_norm is None), metric="balanced_accuracy", own=0.0001
    )
    better = ablate(r, runner=trainer)  # type: ignore[arg-type]
    assert better.dropped == ("clip_norm",)
    trainer = OfRows(lambda v: 0.9, metric="balanced_accuracy", own=0.0001)
    ablation = ablate(r, runner=trainer)  # type: ignore[arg-type]
    assert ablation.verdicts() == {"clip_norm": "no difference" if shown else "undecided"}
    notes = [
        n
        for n in ablation.notes
        if "one of the rarest class of 114 validation rows can move balanced_accuracy by 0.012" in n
    ]
    assert len(notes) == (not shown)
    assert ablation.to_dict()["one_row"] == pytest.approx(1 / (2 * smallest))


def test_looking_again_with_more_seeds_is_counted_and_corrected() -> None:
    trainer = Pretender(planted, shared=0.05, own=0.002)
    looks = [ablate(full_recipe(), seeds=n, runner=trainer) for n in (8, 10, 10, 16, 8)]  # type: ignore[arg-type]
    assert [a.look.number for a in looks] == [1, 2, 2, 3, 1]
    assert [a.look.confidence for a in looks] == pytest.approx([0.95, 0.975, 0.975, 0.9875, 0.95])
    assert [c.difference.confidence for c in looks[3].comparisons] == [1 - 0.05 / 4] * 6
    assert any(
        "look 3 at this question (before it: 8 seeds, 10 seeds): judged at confidence 0.9875" in n
        for n in looks[3].notes
    )
    assert not any("look" in note for note in looks[0].notes)
    document = trainer.workspace.ledger.documents["ablation"]
    assert (document["confidence"], document["looks"]["number"]) == (0.95, 1)
    other = ablate(full_recipe(seed=5), seeds=20, runner=trainer)  # type: ignore[arg-type]
    assert other.look.number == 1, "another recipe is another question"


def test_a_wider_margin_is_another_look() -> None:
    trainer = Pretender(planted, shared=0.05, own=0.002)
    looks = [ablate(full_recipe(), smallest_effect=s, runner=trainer) for s in (0.005, 0.02)]  # type: ignore[arg-type]
    assert [a.look.number for a in looks] == [1, 2]


def test_a_recipe_that_cannot_be_trained_at_all_is_an_error() -> None:
    with pytest.raises(
        ModelError, match="the recipe with all its parts failed on every seed: the loss became NaN"
    ):
        ablate_with(lambda v: math.nan)


def test_too_few_seeds_are_announced() -> None:
    ablation, _ = ablate_with(planted, full_recipe(ablate=Ablate(seeds=5)))
    assert any(
        "5 seeds cannot show that one of 6 parts helps or hurts" in note
        and "at least 8 seeds" in note
        for note in ablation.notes
    )
    assert not any("cannot show" in note for note in ablate_with()[0].notes)
    few, _ = ablate_with(
        lambda v: 0.9, full_recipe(ablate=Ablate(seeds=4)), digest=lambda v: "same"
    )
    assert set(few.verdicts().values()) == {"undecided"}
    assert few.dropped == ()
    assert any(
        "4 seeds cannot show that a part makes no difference, even where no prediction changes" in n
        for n in few.notes
    )


def test_each_arm_differs_from_the_reference_in_its_part_alone() -> None:
    ablation, _ = ablate_with(
        r=full_recipe(
            train=full_recipe().train.model_copy(update={"early_stopping": EarlyStopping()})
        )
    )
    changed = {arm.name: arm.changed for arm in ablation.arms}
    assert changed["dropout"].keys() == {"train.dropout"}
    assert changed["label_smoothing"] == {"train.label_smoothing": (0.1, 0.0)}
    assert changed["momentum"] == {
        "train.optimizer.momentum": (0.9, 0.0),
        "train.optimizer.nesterov": (True, False),
    }
    assert all(path.startswith("train.schedule.") for path in changed["schedule"])
    assert all(path.startswith("train.early_stopping") for path in changed["early_stopping"])


def test_an_arm_that_changes_more_than_its_part_is_our_own_mistake() -> None:
    part = Part("dropout", "train.dropout", 0.2, 0.0, "dropout")
    _assert_only(part, {"train.dropout": (0.2, 0.0)})
    with pytest.raises(
        AssertionError, match=r"switching off 'dropout' also changed \['train\.l1'\]"
    ):
        _assert_only(part, {"train.dropout": (0.2, 0.0), "train.l1": (0.0, 0.1)})
    with pytest.raises(AssertionError, match="switching off 'dropout' changed nothing"):
        _assert_only(part, {})


def test_differences_sees_every_section() -> None:
    a = full_recipe()
    b = full_recipe(
        data=QUIET.model_copy(update={"drop": ("x",)}), model=Model("mlp", args={"width": 9})
    )
    assert differences(a, b).keys() == {"data.drop", "model.args.width", "model.args.depth"}
    assert differences(a, a) == {}


def test_modules_are_arms() -> None:
    r = full_recipe(
        train=Train(), ablate=Ablate(seeds=8, parts=("model.block1",), modules=("block2.linear",))
    )
    ablation, trainer = ablate_with(lambda v: 0.9 - 0.3 * ("block1" in v.model.without), r)
    assert ablation.verdicts()["model.block1"] == "helps"
    assert [arm.changed for arm in ablation.arms] == [
        {"model.without": ((), ("block1",))},
        {"model.without": ((), ("block2.linear",))},
    ]
    assert {v.model.without for v in trainer.batches[0]} == {(), ("block1",), ("block2.linear",)}


class Stubborn(nn.Module):
    """Has a module that its forward pass never calls."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.used = nn.Linear(in_features, in_features)
        self.unused = nn.Linear(3, 3)
        self.head = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.used(x))  # type: ignore[no-any-return]


def test_a_module_that_cannot_go_is_left_out_with_a_note() -> None:
    r = full_recipe(
        model=Model(Stubborn),
        train=Train(),
        ablate=Ablate(seeds=6, parts=(), modules=("used", "unused")),
    )
    ablation, _ = ablate_with(lambda v: 0.9, r)
    assert list(ablation.verdicts()) == ["model.used"]
    assert any(
        "model.unused is not in the table, because the model cannot do without it" in note
        for note in ablation.notes
    )


class Dropper(nn.Sequential):
    """A user's model with dropout of its own, which the recipe does not mention."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(nn.Dropout(0.3), nn.Linear(in_features, out_features))


def test_a_models_own_dropout_is_a_part_when_asked_for() -> None:
    r = full_recipe(model=Model(Dropper), train=Train(), ablate=Ablate(seeds=7, parts=("dropout",)))
    ablation, _ = ablate_with(lambda v: 0.9 - 0.3 * (v.train.dropout == 0.0), r)
    assert ablation.verdicts() == {"dropout": "helps"}
    assert ablation.arms[0].changed == {"train.dropout": (None, 0.0)}


def test_unknown_names_are_refused_with_the_nearest() -> None:
    trainer = Pretender(planted)
    with pytest.raises(RecipeError, match="did you mean 'dropout'"):
        ablate(full_recipe(), parts=["dropuot"], runner=trainer)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="no module 'blok1' - did you mean 'block1'"):
        ablate(full_recipe(), modules=["blok1"], runner=trainer)  # type: ignore[arg-type]
    assert trainer.batches == []


def test_open_recipes_and_recipes_without_parts_are_refused() -> None:
    trainer = Pretender(planted)
    with pytest.raises(
        RecipeError,
        match=r"nothing open, found 1 open setting \(train\.optimizer\.lr\): search first",
    ):
        ablate(full_recipe(train=Train(optimizer=SGD(lr=Log(1e-3, 1)))), runner=trainer)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="nothing to ablate"):
        ablate(full_recipe(train=Train(optimizer=SGD(momentum=0.0))), runner=trainer)  # type: ignore[arg-type]


def test_a_named_part_that_the_search_switched_off_is_noted() -> None:
    r = full_recipe(
        train=Train(optimizer=SGD(momentum=0.9)),
        ablate=Ablate(seeds=6, parts=("momentum", "nesterov", "clip_norm")),
    )
    ablation, _ = ablate_with(planted, r)
    assert list(ablation.verdicts()) == ["momentum"]
    assert "nesterov is not in the table, because it is off in this recipe" in ablation.notes


def test_only_the_named_parts_are_ablated() -> None:
    trainer = Pretender(planted)
    ablation = ablate(
        full_recipe(), parts=["clip_norm", "dropout"], seeds=6, confidence=0.9, runner=trainer
    )  # type: ignore[arg-type]
    assert list(ablation.verdicts()) == ["clip_norm", "dropout"]
    assert len(ablation.seeds) == 6
    assert ablation.comparisons[0].difference.confidence == 0.9


def test_the_document_is_strict_json_and_the_table_matches() -> None:
    ablation, trainer = ablate_with(lambda v: math.nan if v.train.clip_norm is None else planted(v))
    document = trainer.workspace.ledger.documents["ablation"]
    assert document == json.loads(json.dumps(document, allow_nan=False))
    row = document["comparisons"][0]
    assert row.keys() >= {
        "name",
        "what",
        "mean",
        "low",
        "high",
        "p",
        "p_holm",
        "verdict",
        "n",
        "lost",
        "mde",
        "scores",
    }
    assert document["seeds"] == list(ablation.seeds)
    assert len(row["scores"]) == 10
    assert row["what"]
    table = ablation.table()
    assert table.height == 6
    assert dict(zip(table["name"], table["verdict"], strict=True)) == ablation.verdicts()
