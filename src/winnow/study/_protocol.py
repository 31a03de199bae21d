"""A study is a question: it asks for variants and is told outcomes. It never trains."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Sequence
from typing import Generic, Protocol, TypeVar

from winnow.data import PreparedData
from winnow.recipe import Data, Outcome, Recipe, Variant

__all__ = ["Plan", "Study", "Trainer", "conduct"]

Result = TypeVar("Result")
Plan = Generator[Sequence[Variant], list[Outcome], Result]
"""A study: a generator that yields variants, receives outcomes in order and returns the result."""


class Trainer(Protocol):
    """What a study needs of ``winnow.execution.Runner``."""

    def context(self, recipe: Recipe) -> tuple[str, str]:
        """Return the recipe's metric with ``auto`` resolved, and the digest of its data and of its
        model's source.
        """

    def prepared(self, data: Data) -> PreparedData:
        """Return the prepared rows of ``data``."""

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        """Return one outcome per variant, in their order; what the ledger has is not trained again.

        Args:
            variants: to train.
            keep_weights: whether the trained weights are kept.
            study: its name, for progress.
            ahead: about how many more variants the study will ask for.
        """


class Study(Generic[Result]):
    """Ask and tell over a plan.

    The plan moves on when every variant it yielded has been told. So what is asked next depends on
    outcomes alone: not on how many variants are asked for at a time, nor on the order in which they
    finish, nor on who trains them.

    Args:
        name: of the study, for progress.
        plan: what it asks and concludes.
        trainings: about how many variants it will ask for in all; 0: not known.
    """

    def __init__(self, name: str, plan: Plan[Result], *, trainings: int = 0) -> None:
        self.name = name
        self._trainings = trainings
        self._asked = 0
        self._plan = plan
        self._wanted: Sequence[Variant] = ()
        self._queue: deque[Variant] = deque()
        self._outcomes: dict[str, Outcome] = {}
        self._result: Result | None = None
        self.finished = False
        self._move_on(start=True)

    def ask(self, n: int) -> list[Variant]:
        """Return at most ``n`` variants to train.

        There are none while others must be told first, or when the study is ``finished``.
        """
        number = min(n, len(self._queue))
        asked = [self._queue.popleft() for _ in range(number)]
        self._asked += len(asked)
        return asked

    @property
    def ahead(self) -> int:
        """About how many more variants it will ask for."""
        return max(self._trainings - self._asked, len(self._queue))

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Take in outcomes, in any order.

        Raises:
            ValueError: for the outcome of a variant that was not asked for.
        """
        wanted = {variant.id for variant in self._wanted}
        for outcome in outcomes:
            if outcome.variant_id not in wanted:
                raise ValueError(
                    f"told the outcome of variant {outcome.variant_id!r}, which this study is not "
                    f"waiting for"
                )
        for outcome in outcomes:
            self._outcomes[outcome.variant_id] = outcome
        if not self.finished and wanted <= self._outcomes.keys():
            self._move_on()

    @property
    def result(self) -> Result:
        """What the study found.

        Raises:
            ValueError: before the study is finished.
        """
        if self._result is None:
            raise ValueError(
                "the study has no result yet: ask, train and tell until it is finished"
            )
        return self._result

    def _move_on(self, *, start: bool = False) -> None:
        """Give the plan the outcomes it waits for, and take what it wants next."""
        try:
            if start:
                self._wanted = next(self._plan)
            else:
                outcomes = [self._outcomes[variant.id] for variant in self._wanted]
                self._wanted = self._plan.send(outcomes)
            while not self._wanted:  # a plan may find that a stage of it needs nothing
                self._wanted = self._plan.send([])
        except StopIteration as stop:
            self._wanted = ()
            self._result = stop.value
            self.finished = True
        self._outcomes = {}
        # The same variant wanted twice is trained once
        distinct = {variant.id: variant for variant in self._wanted}
        self._queue = deque(distinct.values())


def conduct(
    study: Study[Result],
    trainer: Trainer,
    *,
    at_once: int = sys.maxsize,
    keep_weights: bool = False,
) -> Result:
    """Ask, train and tell until the study has its result, and return that.

    Args:
        study: the question.
        trainer: trains, normally a ``winnow.execution.Runner``.
        at_once: at most so many variants go to the trainer together; by default all that the study
            can name, so that they share fleets.
        keep_weights: whether the trainer keeps the weights.

    Raises:
        ValueError: when the trainer leaves out the outcome of a variant, or ``at_once`` is below 1.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be at least 1, got {at_once}")
    while not study.finished:
        variants = study.ask(at_once)
        if not variants:
            raise ValueError("the trainer left out the outcome of a variant that it was given")
        outcomes = trainer.train(
            variants, keep_weights=keep_weights, study=study.name, ahead=study.ahead
        )
        study.tell(outcomes)
    return study.result
