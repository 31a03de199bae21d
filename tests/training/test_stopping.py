"""Rules for stopping early: Prechelt's against sequences worked out by hand, and one from elsewhere
in fleets, over a stop and in a copy.
"""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.test_copy import run
from tests.training.test_epoch_choice import made, outputs_of_every_epoch, score_of, variant
from tests.training.test_own_methods import Stopped, stop_at_the_second_report

from winnow.data import prepare
from winnow.errors import ModelError
from winnow.ledger import Ledger
from winnow.methods import BaseStopping, GeneralizationLoss, Patience, SeenEpoch, Stop
from winnow.recipe import (
    Data,
    EarlyStopping,
    Integer,
    Model,
    Recipe,
    Stopping,
    Train,
    Variant,
)
from winnow.testing import check_stopping
from winnow.training import methods_key, stopping_of, train_fleet
from winnow.training._find_methods import check_methods, code_digest
from winnow.training._member import EpochChoice

DATA = made("classification")


class Worse(BaseStopping):
    """One from elsewhere: so many epochs in a row that are not the best."""

    times: int = 2

    def begin(self) -> dict[str, Any]:
        return {"in a row": 0}

    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        state["in a row"] = 0 if seen.is_best else state["in a row"] + 1
        return Stop("worse", f"{self.times} in a row") if state["in a row"] == self.times else None


def seen(epoch: int, loss: float, score: float = 0.5) -> SeenEpoch:
    return SeenEpoch(epoch, 10, score, loss, loss, False, True)


def answers(rule: BaseStopping, losses: list[float]) -> list[str | None]:
    state = rule.begin()
    found = [rule.see(seen(i, loss), state) for i, loss in enumerate(losses)]
    return [stop and stop.code for stop in found]


# -- the numbers -----------------------------------------------------------------------------------


def test_the_generalization_loss_is_that_of_prechelt() -> None:
    """Lowest losses 2, 1, 1, 1, 0.5, 0.5; GL 0, 0, 4, 10, 0, 30 percent."""
    losses = [2.0, 1.0, 1.04, 1.1, 0.5, 0.65]
    stop = "generalization_loss"
    assert answers(GeneralizationLoss(alpha=5.0), losses) == [None, None, None, stop, None, stop]
    assert answers(GeneralizationLoss(alpha=3.0), losses) == [None, None, stop, stop, None, stop]
    assert answers(GeneralizationLoss(alpha=29.0), losses) == [*[None] * 5, stop]
    assert answers(GeneralizationLoss(alpha=31.0), losses) == [None] * 6


def test_a_loss_of_zero_is_below_every_other() -> None:
    assert answers(GeneralizationLoss(), [0.0, 0.0, 1e-9]) == [None, None, "generalization_loss"]


def test_patience_counts_from_the_last_progress() -> None:
    """Of scores that rise by less than min_delta each, every third makes progress."""
    rule = Patience(patience=3, min_delta=0.25)
    state = rule.begin()
    scores = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0]
    told = [rule.see(seen(i, 1.0, score), state) for i, score in enumerate(scores)]
    assert told[:6] == [None] * 6  # 0.8 is progress over 0.5
    assert told[6] == Stop("patience", "no progress in 3 epochs")


@pytest.mark.parametrize("alpha", [2.0, 20.0])
def test_a_training_ends_where_the_loss_of_a_hand_written_loop_says(alpha: float) -> None:
    """On either half of the validation rows and on all: the last of the three decides."""
    prepared = prepare(DATA)
    half = prepared.halves(DATA.split.seed)
    assert half is not None
    loss, y = score_of(prepared, "log_loss"), prepared.validation.y
    ended = []
    for seed in range(4):
        rule = GeneralizationLoss(alpha=alpha)
        one = variant(DATA, "accuracy", seed, early_stopping=rule)
        kept = outputs_of_every_epoch(one, prepared)
        ends = []
        for rows in (half == 0, half == 1, half < 2):
            losses = [loss(y[rows], out[rows]) for out in kept]
            over = [
                epoch + 1
                for epoch, now in enumerate(losses)
                if 100 * (now / min(losses[: epoch + 1]) - 1) > alpha
            ]
            ends.append(min([*over, len(kept)]))
        (found,) = train_fleet([one], prepared)
        assert found.outcome.epochs == max(ends)
        told = found.outcome.stopped
        assert (told is None) == (max(ends) == len(kept))
        assert told is None or told.startswith("generalization_loss: a loss of ")
        ended.append(max(ends))
    assert min(ended) < 25


def test_what_is_told_of_an_epoch() -> None:
    told: list[SeenEpoch] = []

    class Listens(BaseStopping):
        def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
            told.append(seen)
            return None

    prepared = prepare(DATA)
    one = variant(DATA, "log_loss", early_stopping=Listens(), epochs=3)
    (found,) = train_fleet([one], prepared)
    curves, of_all = found.outcome.curves, told[2::3]  # after those of the halves
    assert [s.epoch for s in of_all] == [0, 1, 2]
    assert [s.loss for s in of_all] == curves["validation_loss"]
    assert [s.score for s in of_all] == curves["validation_log_loss"]
    assert [s.train_loss for s in of_all] == curves["train_loss"]
    assert all(s.num_epochs == 3 and not s.higher_is_better for s in told)
    best = max(i for i, s in enumerate(of_all) if s.is_best)
    assert best == found.outcome.best_epoch
    assert found.outcome.stopped is None


# -- fleets ----------------------------------------------------------------------------------------


RULES = [None, Patience(patience=2), GeneralizationLoss(alpha=2.0), Worse(times=2), Worse(times=4)]


def fleet() -> list[Variant]:
    return [variant(DATA, "accuracy", i, early_stopping=rule) for i, rule in enumerate(RULES)]


def test_members_of_any_rule_share_a_fleet_and_equal_their_solo_runs() -> None:
    variants, prepared = fleet(), prepare(DATA)
    assert len({methods_key(v.train) for v in variants}) == 1
    found = train_fleet(variants, prepared)
    for together, one in zip(found, variants, strict=True):
        (alone,) = train_fleet([one], prepared)
        assert together.outcome.epochs == alone.outcome.epochs
        assert together.outcome.stopped == alone.outcome.stopped
        for name, tensor in (together.weights or {}).items():
            torch.testing.assert_close(tensor, (alone.weights or {})[name], rtol=1e-8, atol=1e-8)
    assert len({f.outcome.epochs for f in found}) > 2
    assert found[3].outcome.stopped == "worse: 2 in a row"


def test_a_stopped_training_goes_on_with_what_the_rule_remembers(tmp_path: Path) -> None:
    variants, prepared = fleet(), prepare(DATA)
    place = tmp_path / "fleet.safetensors"
    unbroken = train_fleet(variants, prepared)
    for _ in range(5):
        stop = stop_at_the_second_report()
        with pytest.raises(Stopped):
            train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0.0, on_epoch=stop)
    found = train_fleet(variants, prepared, checkpoint=place, checkpoint_seconds=0.0)
    for a, b in zip(found, unbroken, strict=True):
        assert a.outcome.epochs == b.outcome.epochs
        assert a.outcome.stopped == b.outcome.stopped
        assert a.outcome.curves == b.outcome.curves


def test_a_state_that_is_no_plain_data_ends_no_training(tmp_path: Path) -> None:
    class Keeps(Worse):
        def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
            state["scores"] = {seen.score}
            return None

    one = variant(DATA, "accuracy", early_stopping=Keeps(), epochs=2)
    with pytest.warns(RuntimeWarning, match=r"early_stopping remembers is no plain data: .*set"):
        (found,) = train_fleet(
            [one], prepare(DATA), checkpoint=tmp_path / "c.safetensors", checkpoint_seconds=0.0
        )
    assert found.outcome.epochs == 2


def test_a_copy_takes_the_rule_and_its_state_along() -> None:
    """The target goes on as its source: with the same seed both leave after the same epoch."""
    common = {"epochs": 12, "optimizer": {"kind": "sgd", "lr": 0.3}}
    variants = [
        variant(DATA, "accuracy", 0, early_stopping=Worse(times=3), **common),
        variant(DATA, "accuracy", 0, **common),
    ]
    prepared = prepare(DATA)
    found = run(variants, prepared, copies=([0], [1]))
    assert found[0].outcome.epochs == found[1].outcome.epochs < 12
    assert found[1].outcome.stopped == "worse: 3 in a row"


# -- in a recipe -----------------------------------------------------------------------------------


def recipe_of(stopping: Any) -> Recipe:
    train = Train(early_stopping=stopping)
    return Recipe(data=Data(source="sklearn:wine"), model=Model("mlp"), train=train)


def test_a_mapping_without_a_kind_is_patience() -> None:
    assert EarlyStopping is Patience
    for written in ({"patience": 5}, {"kind": "patience", "patience": 5}, Patience(patience=5)):
        recipe = recipe_of(written)
        assert recipe.train.early_stopping == Patience(patience=5)
        assert "early_stopping: {patience: 5}\n" in recipe.to_yaml()
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_rules_stand_in_yaml_and_read_back_equal() -> None:
    for rule, words in (
        (GeneralizationLoss(alpha=2.0), "{kind: generalization_loss, alpha: 2.0}"),
        (Worse(times=3), "Worse"),
    ):
        recipe = recipe_of(rule)
        assert words in recipe.to_yaml()
        assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    open_ = recipe_of(Stopping(Worse, times=Integer(2, 9)))
    assert list(open_.ranges()) == ["train.early_stopping.args.times"]


def test_a_rule_is_a_part_that_can_be_switched_off() -> None:
    for rule, what in (
        (Patience(patience=5), "early stopping after 5 epochs without progress"),
        (Patience(patience=Integer(3, 9)), "early stopping after 3 to 9 epochs without progress"),
        (GeneralizationLoss(alpha=2.0), "early stopping at a loss 2 % above the lowest"),
        (Worse(), "early stopping by Worse"),
    ):
        recipe = recipe_of(rule)
        assert recipe.parts()["early_stopping"].what == what
        assert recipe.without("early_stopping").train.early_stopping is None


def test_what_cannot_be_used_is_said_with_its_setting() -> None:
    for rule, words in (
        (Stopping(EpochChoice), "expected a subclass of winnow.methods.stopping.BaseStopping"),
        (Stopping(Worse, tims=3), "did you mean 'times'?"),
    ):
        with pytest.raises(ModelError, match=r"^train.early_stopping") as caught:
            check_methods(Train(early_stopping=rule), "classification")
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{patience: 3, min_delta: -1}", "early_stopping.min_delta: must be at least 0, got -1"),
        ("{patienc: 3}", "early_stopping.patienc: unknown setting - did you mean 'patience'?"),
        ("{kind: patience, patience: 0}", "early_stopping.patience: must be at least 1, got 0"),
        ("{kind: generalization_loss, alpha: 0}", "early_stopping.alpha: must be above 0, got 0"),
        ("{kind: patient}", "did you mean 'patience'?"),
    ],
)
def test_a_mistake_is_told_with_its_setting(text: str, words: str) -> None:
    head = "data: {source: 'sklearn:wine'}\nmodel: {use: mlp}\ntrain:\n  early_stopping: "
    with pytest.raises(ValueError, match=r"train.early_stopping") as caught:
        Recipe.from_yaml(head + text)
    assert words in str(caught.value)


def test_the_ids_of_older_ledgers_still_hold() -> None:
    one = variant(DATA, "accuracy", early_stopping=Patience(patience=5))
    assert '"early_stopping":{"min_delta":0.0,"patience":5}' in one.canonical()
    other = variant(DATA, "accuracy", early_stopping=GeneralizationLoss())
    assert '"kind":"generalization_loss"' in other.canonical()
    model = Model("mlp")
    plain = code_digest(model, Train(early_stopping=Patience()))
    assert plain == code_digest(model, Train())
    assert plain != code_digest(model, Train(early_stopping=Worse()))


def test_the_ledger_keeps_why_a_training_stopped(tmp_path: Path) -> None:
    one = variant(DATA, "accuracy", early_stopping=Worse(times=1))
    (found,) = train_fleet([one], prepare(DATA))
    assert found.outcome.stopped == "worse: 1 in a row"
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.record([(one, found.outcome)])
        assert ledger.outcomes([one.id])[one.id].stopped == found.outcome.stopped


# -- the checks ------------------------------------------------------------------------------------


class Forgets(Worse):
    """It remembers beside its state."""

    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        row = REMEMBERED.setdefault(id(state), [])
        row.append(seen.is_best)
        return Stop("worse", "often") if len(row) > 3 and not any(row[-3:]) else None


REMEMBERED: dict[int, list[bool]] = {}


class Answers(Worse):
    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Any:
        return seen.epoch > 3


class Never(Worse):
    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        return None


class AtOnce(Worse):
    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        return Stop("now", "at once")


class Sets(Worse):
    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        state["scores"] = {1, 2}
        return Stop("late", "late") if seen.epoch > 8 else None


class Promises(Worse):
    def fewest_epochs(self, num_epochs: int) -> int:
        return 30


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Forgets(), "the state does not hold all that it remembers"),
        (Answers(), "see must return a Stop or None, got False"),
        (Never(), "ends no training of 40 epochs"),
        (AtOnce(), "ends every training after its first epoch"),
        (Sets(), "its state is no plain data"),
        (Promises(), "and fewest_epochs says 30"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rule_that_breaks_its_contract_is_told(rule: BaseStopping, words: str) -> None:
    REMEMBERED.clear()
    with pytest.raises(AssertionError, match=words):
        check_stopping(rule)


class FewestAsProperty(Worse):
    @property
    def fewest_epochs(self) -> int:  # type: ignore[override]
        return 2


def test_what_fails_is_called_by_its_name() -> None:
    with pytest.raises(AssertionError, match="FewestAsProperty: fewest_epochs raises TypeError"):
        check_stopping(FewestAsProperty())


def test_one_from_elsewhere_keeps_the_contract() -> None:
    check_stopping(Worse(times=2))
    assert stopping_of(Train()) is None
    rule = stopping_of(Train(early_stopping=Worse(times=2)))
    assert isinstance(rule, Worse)
    assert rule.fewest_epochs(30) == 1
    assert math.isinf(GeneralizationLoss().begin()["lowest"])
