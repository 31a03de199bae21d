"""Minutes: every stage shrinks to what fits a clock that only the trainings move, and a run
that goes on asks the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.study.doubles import Notebook, Pretender, recipe

from winnow.errors import ModelError, OutOfTime
from winnow.execution import Event
from winnow.methods import SGD
from winnow.pipeline import Flow
from winnow.pipeline._budget import BUNDLE_RESERVE, STOPS_AFTER, Budget, StageOver
from winnow.pipeline._cost import SAFETY, TrainingCost
from winnow.recipe import (
    Ablate,
    EarlyStopping,
    Final,
    Log,
    Outcome,
    Recipe,
    Search,
    Train,
    Uniform,
    Variant,
)
from winnow.study import Option, ablate, search, train

from .conftest import small

MINUTE = 60.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Timed(Pretender):
    """Trains one variant after another, each in so many seconds of the clock; between two of
    them it may be stopped.
    """

    def __init__(self, clock: Clock, each: float, **more: Any) -> None:
        super().__init__(lambda v: 0.9, **{"own": 0.001, **more})
        self.clock, self.each, self.budget = clock, each, None
        self.known: dict[str, Outcome] = {}

    def with_minutes(
        self, minutes: float, *, stages: Sequence[str] = ("search", "ablate", "train"), **more: Any
    ) -> Budget:
        self.budget = Budget(
            minutes,
            ledger=self.workspace.ledger,
            known=lambda ids: {i: self.known[i] for i in ids if i in self.known},
            stages=stages,
            clock=self.clock,
            **more,
        )
        return self.budget

    def train(self, variants: Sequence[Variant], **more: Any) -> list[Outcome]:
        if self.budget is None:
            return self._all(list(variants))
        return self.budget.train(variants, self._all)

    def _all(self, variants: list[Variant]) -> list[Outcome]:
        self.batches.append([v for v in variants if v.id not in self.known])
        for done, v in enumerate(variants):
            if v.id not in self.known:
                if self.budget is not None:
                    self.budget.check(Event("stage", done, len(variants)))
                self.clock.now += self.each * v.train.epochs / 30
                self.known[v.id] = self._outcome(v)
        return [self.known[v.id] for v in variants]

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


def asked(**more: Any) -> Recipe:
    settings = {
        "train": Train(optimizer=SGD(lr=Log(1e-4, 1.0)), label_smoothing=Uniform(0, 0.5)),
        "search": Search(trials=32, batch=8, leaders=3, seeds=4),
        "final": Final(seeds=5),
    }
    return recipe(**{**settings, **more})


def closed(**more: Any) -> Recipe:
    return recipe(
        train=Train(dropout=0.1, label_smoothing=0.1),
        ablate=Ablate(parts=("dropout", "label_smoothing"), seeds=10),
        **more,
    )


def run_all(trainer: Timed, r: Recipe) -> tuple[Any, Any]:
    budget = trainer.budget
    assert budget is not None
    budget.begin("search")
    found = search(r, runner=trainer, allowance=budget)  # type: ignore[arg-type]
    budget.begin("train")
    return found, train(found.best, runner=trainer, allowance=budget)  # type: ignore[arg-type]


@pytest.mark.parametrize("each", [0.1, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("minutes", [1.0, 2.0, 5.0])
def test_search_and_final_training_end_before_what_is_kept_for_the_rest(
    each: float, minutes: float
) -> None:
    clock = Clock()
    trainer = Timed(clock, each)
    budget = trainer.with_minutes(minutes, stages=("search", "train"))
    found, trained = run_all(trainer, asked())
    # One training ends before the next is stopped
    assert clock.now - 1000.0 <= minutes * MINUTE - budget.reserve + each
    assert 2 <= len(trained.finished) <= 5
    assert 1 <= len(found.leaders) <= 3
    assert budget.reserve == max(BUNDLE_RESERVE.seconds, 0.08 * MINUTE * minutes)


def test_with_time_for_everything_nothing_is_left_out() -> None:
    clock = Clock()
    trainer, plain = Timed(clock, 0.1), Timed(Clock(), 0.1)
    budget = trainer.with_minutes(5)
    found, trained = run_all(trainer, asked())
    without = search(asked(), runner=plain)  # type: ignore[arg-type]
    assert budget.sentences() == []
    assert found.to_dict() == without.to_dict()
    assert trained.recipe == found.best
    assert trainer.sizes == [8, 8, 8, 8, 12, 5]


def test_a_search_stops_between_batches_and_measures_fewer_leaders() -> None:
    clock = Clock()
    trainer = Timed(clock, 1.0)
    budget = trainer.with_minutes(1)
    found, trained = run_all(trainer, asked())
    assert len(found.trials) < 32
    assert len(found.leaders) * len(found.leaders[0].outcomes) < 12
    assert budget.sentences()[0].startswith(
        f"search: {len(found.trials)} trials, not 32 trials, to keep to 1 minute: "
    )
    assert len(trained.variants) == 5


def test_a_run_that_goes_on_asks_for_the_same_trainings() -> None:
    clock = Clock()
    first = Timed(clock, 1.0)
    first.with_minutes(1)
    found, trained = run_all(first, asked())

    again = Timed(clock, 1.0)
    again.workspace, again.known = first.workspace, first.known
    clock.now += 50  # it is given far less time, and asks the same
    again.with_minutes(1)
    found_again, trained_again = run_all(again, asked())
    assert sum(again.sizes) == 0
    assert found_again.to_dict() == found.to_dict()
    assert trained_again.to_dict() == trained.to_dict()


def test_one_that_was_killed_in_its_leaders_keeps_its_decisions() -> None:
    clock = Clock()
    whole, killed = Timed(clock, 1.0), Timed(Clock(), 1.0)
    whole.with_minutes(1)
    found, _ = run_all(whole, asked())

    leaders = len(found.trials)
    plain = killed._outcome

    def die(v: Variant) -> Outcome:
        if len(killed.known) == leaders + 1:
            raise KeyboardInterrupt
        return plain(v)

    killed._outcome = die  # type: ignore[method-assign]
    killed.with_minutes(1)
    with pytest.raises(KeyboardInterrupt):
        run_all(killed, asked())
    killed._outcome = plain  # type: ignore[method-assign]
    killed.with_minutes(1, spent=killed.clock.now - 1000.0)
    again, _ = run_all(killed, asked())
    assert again.to_dict() == found.to_dict()


def test_other_minutes_are_another_question_and_keep_the_trials() -> None:
    clock = Clock()
    trainer = Timed(clock, 1.0)
    trainer.with_minutes(1)
    few, _ = run_all(trainer, asked())
    trainer.with_minutes(5, spent=clock.now - 1000.0)
    many, _ = run_all(trainer, asked())
    assert len(few.trials) < len(many.trials) == 32
    full = few.to_dict()["trials"][:8]
    assert many.to_dict()["trials"][:8] == full


def test_trials_that_are_not_finished_in_time_are_left_out() -> None:
    """The first batch takes ten times what was foretold: it is stopped, and those that finished
    go on.
    """
    clock = Clock()
    trainer = Timed(clock, 6.0)
    budget = trainer.with_minutes(1, stages=("search", "train"))
    budget.require(1.0, each=0.1)
    budget.begin("search")
    found = search(asked(), runner=trainer, allowance=budget)  # type: ignore[arg-type]
    lost = [t for t in found.trials if not t.outcome.finished]
    assert 0 < len(lost) < 8
    assert {t.outcome.reason for t in lost} == {STOPS_AFTER}
    # No outcome on record: with more minutes they are trained
    assert not any(t.variant.id in trainer.known for t in lost)
    assert any("stopped, because the time was over" in text for text in budget.sentences())

    trainer.batches.clear()  # a run that goes on does not train them, though its clock has time
    budget = trainer.with_minutes(1, stages=("search", "train"))
    budget.begin("search")
    again = search(asked(), runner=trainer, allowance=budget)  # type: ignore[arg-type]
    assert sum(trainer.sizes) == 0
    assert again.to_dict()["trials"] == found.to_dict()["trials"]


def test_where_no_trial_finishes_the_run_says_so() -> None:
    trainer = Timed(Clock(), 100.0)
    budget = trainer.with_minutes(1)
    budget.begin("search")

    def too_long(v: Variant) -> Outcome:
        raise StageOver

    trainer._outcome = too_long  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=f"all 8 trials failed: {STOPS_AFTER}"):
        search(asked(), runner=trainer, allowance=budget)  # type: ignore[arg-type]
    assert budget.has_stopped


def ablated(trainer: Timed, budget: Budget, r: Recipe) -> Any:
    budget.begin("ablate")
    return ablate(r, runner=trainer, allowance=budget)  # type: ignore[arg-type]


def warm(trainer: Timed, r: Recipe) -> None:
    """What one training takes is known."""
    trainer.train([r.variant(seed, metric="accuracy", context="pretended") for seed in (1, 2)])


def test_an_ablation_takes_as_many_seeds_as_fit() -> None:
    clock = Clock()
    trainer = Timed(clock, 1.0, digest=lambda v: v.id)
    budget = trainer.with_minutes(1, stages=("ablate", "train"))
    warm(trainer, closed())
    found = ablated(trainer, budget, closed())
    assert 7 <= len(found.seeds) < 10
    assert budget.sentences()[0].startswith(
        f"ablate: an ablation on {len(found.seeds)} seeds, not an ablation on 10 seeds"
    )
    assert clock.now <= budget.end - budget.reserve


def test_fewer_seeds_than_could_tell_anything_are_none() -> None:
    trainer = Timed(Clock(), 3.0)
    budget = trainer.with_minutes(1, stages=("ablate", "train"))
    warm(trainer, closed())
    with pytest.raises(OutOfTime, match="does not hold an ablation on 7 seeds"):
        ablated(trainer, budget, closed())
    assert trainer.sizes == [2]
    assert "no ablation, which takes 7 seeds or more" in budget.sentences()[0]
    with pytest.raises(OutOfTime):  # a run that goes on, with a clock that stands at the beginning
        ablated(trainer, trainer.with_minutes(1, stages=("ablate", "train")), closed())


def test_without_time_for_a_check_parts_stay() -> None:
    trainer = Timed(Clock(), 1.0, own=0.0001)
    budget = trainer.with_minutes(10, stages=("ablate", "train"))
    warm(trainer, closed())
    with_check = ablated(trainer, budget, closed())
    assert with_check.dropped

    trainer = Timed(Clock(), 1.0, own=0.0001)
    budget = trainer.with_minutes(10, stages=("ablate", "train"))
    warm(trainer, closed())
    plain = budget.choose

    def no_check(question: str, options: Sequence[Option], *, of: str | None = None) -> int:
        if "check" in question:
            trainer.clock.now = budget.end
        return plain(question, options, of=of)

    budget.choose = no_check  # type: ignore[method-assign]
    found = ablated(trainer, budget, closed())
    assert found.dropped == ()
    assert found.simplification.reason == "no check on fresh seeds was made"
    assert "what was not checked stays" in budget.sentences()[0]


def test_an_arm_without_early_stopping_takes_all_its_epochs() -> None:
    stopping = Train(early_stopping=EarlyStopping(patience=3), dropout=0.1)
    with_, without = (
        recipe(train=t).variant(1, metric="accuracy", context="")
        for t in (stopping, stopping.model_copy(update={"early_stopping": None}))
    )
    cost = TrainingCost()
    cost.learn([with_], {with_.id: Outcome(with_.id, "finished", score=0.9, epochs=10)}, 8.0)
    assert cost.estimate([with_]) == pytest.approx(SAFETY * 8.0)
    assert cost.estimate([without]) == pytest.approx(SAFETY * 8.0 * 30 / 10)


def test_the_final_training_takes_two_seeds_at_least() -> None:
    trainer = Timed(Clock(), 12.0)
    budget = trainer.with_minutes(1, stages=("train",))
    warm(trainer, closed())
    budget.begin("train")
    trained = train(closed(final=Final(seeds=5)), runner=trainer, allowance=budget)  # type: ignore[arg-type]
    assert len(trained.variants) == 2
    assert budget.sentences()[0].startswith("train: 2 final seeds, not 5 final seeds")


def test_what_cannot_be_had_is_refused_with_the_minutes_that_it_takes() -> None:
    clock = Clock()
    budget = Timed(clock, 1.0).with_minutes(0.5)
    budget.require(20.0)
    with pytest.raises(
        OutOfTime,
        match=r"0.5 minutes do not hold .* training takes 30.0 s or more.*at least 0.65 minutes",
    ):
        budget.require(30.0)
    budget = Budget(
        0.5, ledger=Notebook(), known=lambda ids: {}, stages=("train",), spent=25.0, clock=clock
    )
    with pytest.raises(OutOfTime, match="of which 25 s are used already"):
        budget.require(0.0)


def test_starting_that_took_long_keeps_more_for_the_end() -> None:
    clock = Clock()
    slow = Budget(
        1.0,
        ledger=Notebook(),
        known=lambda ids: {},
        stages=("train",),
        began=clock.now - 10,
        clock=clock,
    )
    assert slow.reserve == 18.0
    assert slow.left() == 50.0


def test_minutes_that_a_run_cannot_keep_train_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime, match=r"give at least .* minutes"):
        Flow(small(minutes=0.01), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_minutes_change_no_variant_and_a_finished_run_is_only_read(tmp_path: Path) -> None:
    long = small(minutes=30, final=Final(seeds=2))
    with Flow(long, tmp_path / "run", ablate=False, goal="trained") as flow:
        ids = [v.id for v in flow.train().variants]
        budget = flow.documents()["budget"]
        assert flow.documents()["run"]["notes"] == []
    assert budget["notes"] == []
    assert all(row["done"] == row["options"][0] for row in budget["decisions"])
    # The same directory, the same outcomes
    with Flow(small(), tmp_path / "run", ablate=False) as flow:
        assert [v.id for v in flow.train().variants] == ids
    with Flow(long, tmp_path / "run", ablate=False, goal="trained") as flow:
        assert flow.budget is not None
        assert flow.budget.left() == float("inf")
        assert [v.id for v in flow.train().variants] == ids
        assert flow._runner.fleets == []
