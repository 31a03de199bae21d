"""Ask and tell: the answer depends on outcomes alone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.study.doubles import Pretender, recipe

from winnow.recipe import Outcome, Variant
from winnow.study import Plan, Study, conduct

RECIPE = recipe()


def variants(n: int, first: int = 0) -> list[Variant]:
    return [
        Variant(
            data=RECIPE.data,
            model=RECIPE.model,
            train=RECIPE.train,
            metric="accuracy",
            seed=first + i,
        )
        for i in range(n)
    ]


def three_stages() -> Plan[list[float]]:
    """The second stage depends on the scores of the first, the third is empty."""
    first = yield variants(5)
    best = max(first, key=lambda o: o.score)
    second = yield variants(3, first=int(best.score * 1000))
    nothing = yield []
    return [o.score for o in [*first, *second, *nothing]]


def pretender() -> Pretender:
    return Pretender(lambda v: (v.seed * 7919 % 1000) / 1000)


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_the_answer_does_not_depend_on_how_many_are_trained_at_once(at_once: int) -> None:
    trainer = pretender()
    assert conduct(Study("test", three_stages()), trainer, at_once=at_once) == conduct(
        Study("test", three_stages()), pretender()
    )
    assert max(map(len, trainer.batches)) <= at_once
    assert len(trainer.trained) == 8


def test_the_answer_does_not_depend_on_the_order_of_outcomes() -> None:
    class Backwards(Pretender):
        def train(self, variants: Any, **more: Any) -> list[Outcome]:
            return super().train(variants, **more)[::-1]

    assert conduct(Study("test", three_stages()), Backwards(pretender().score)) == conduct(
        Study("test", three_stages()), pretender()
    )


def test_everything_a_stage_wants_goes_to_the_trainer_at_once() -> None:
    trainer = pretender()
    conduct(Study("test", three_stages()), trainer)
    assert [len(batch) for batch in trainer.batches] == [5, 3]


def test_asking_while_others_must_be_told_first_gives_nothing() -> None:
    study = Study("test", three_stages())
    asked = study.ask(100)
    assert len(asked) == 5
    assert study.ask(1) == []
    assert not study.finished
    study.tell(pretender().train(asked[:4]))
    assert study.ask(1) == []
    study.tell(pretender().train(asked[4:]))
    assert len(study.ask(100)) == 3


def test_a_variant_wanted_twice_is_trained_once() -> None:
    def plan() -> Plan[int]:
        outcomes = yield [*variants(2), *variants(2)]
        return len(outcomes)

    trainer = pretender()
    assert conduct(Study("test", plan()), trainer) == 4
    assert len(trainer.trained) == 2


def test_the_outcome_of_a_stranger_is_refused() -> None:
    study = Study("test", three_stages())
    with pytest.raises(ValueError, match="variant 'nobody', which this study is not waiting for"):
        study.tell([Outcome("nobody", "finished")])


def test_no_result_before_the_end() -> None:
    with pytest.raises(ValueError, match="no result yet"):
        _ = Study("test", three_stages()).result


def test_a_trainer_that_leaves_out_an_outcome_is_noticed() -> None:
    class Careless(Pretender):
        def train(self, variants: Any, **more: Any) -> list[Outcome]:
            return super().train(variants, **more)[1:]

    with pytest.raises(ValueError, match="left out the outcome of a variant"):
        conduct(Study("test", three_stages()), Careless(lambda v: 0.0))


def test_at_once_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at_once must be at least 1, got 0"):
        conduct(Study("test", three_stages()), pretender(), at_once=0)


def test_a_study_says_how_much_is_still_to_come() -> None:
    trainer = pretender()
    conduct(Study("test", three_stages(), trainings=8), trainer, at_once=3)
    assert trainer.ahead == [5, 3, 0]  # three, two, and the three of the second stage
    unknown = pretender()
    conduct(Study("test", three_stages()), unknown, at_once=3)
    assert unknown.ahead == [2, 0, 0]
