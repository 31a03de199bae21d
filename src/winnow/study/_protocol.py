"""A study is a question: it asks for variants and is told outcomes. It never trains."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Generator, Sequence
from typing import Generic, Protocol, TypeVar

from winnow.data import PreparedData
from winnow.recipe import Data, Outcome, Recipe, Variant

__all__ = ["Plan", "Study", "Trainer", "conduct"]

Answer = TypeVar("Answer")
Plan = Generator[Sequence[Variant], list[Outcome], Answer]
"""A study: a generator that yields variants, receives outcomes in order and returns the answer."""


class Trainer(Protocol):
    """What a study needs of ``winnow.execution.Runner``."""

    def context(self, recipe: Recipe) -> tuple[str, str]:
        """The recipe's metric with ``auto`` resolved, and the digest of its data and of its
        model's source.
        """

    def prepared(self, data: Data) -> PreparedData:
        """The prepared rows of ``data``."""

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        """One outcome per variant, in their order; what the ledger has is not trained again.
        ``study`` is for progress, ``ahead`` more variants are likely to follow.
        """


class Study(Generic[Answer]):
    """Ask and tell over a plan.

    The plan moves on when every variant it yielded has been told. So what is asked next depends on
    outcomes alone: not on how many variants are asked for at a time, nor on the order in which they
    finish, nor on who trains them.

    Args:
        name: of the study, for progress.
        plan: what it asks and concludes.
        trainings: about how many variants it will ask for in all; 0: not known.
    """

    def __init__(self, name: str, plan: Plan[Answer], *, trainings: int = 0) -> None:
        self.name = name
        self._trainings = trainings
        self._asked = 0
        self._plan = plan
        self._wanted: Sequence[Variant] = ()
        self._queue: deque[Variant] = deque()
        self._outcomes: dict[str, Outcome] = {}
        self._answer: Answer | None = None
        self.finished = False
        self._move_on(start=True)

    def ask(self, n: int) -> list[Variant]:
        """At most ``n`` variants to train; none while others must be told first, or when the
        study is ``finished``.
        """
        asked = [self._queue.popleft() for _ in range(min(n, len(self._queue)))]
        self._asked += len(asked)
        return asked

    @property
    def ahead(self) -> int:
        """About how many more variants it will ask for."""
        return max(self._trainings - self._asked, len(self._queue))

    def told(self, outcomes: Sequence[Outcome]) -> None:
        """Take in outcomes, in any order.

        Raises:
            ValueError: for the outcome of a variant that was not asked for.
        """
        wanted = {v.id for v in self._wanted}
        strangers = [o.variant_id for o in outcomes if o.variant_id not in wanted]
        if strangers:
            raise ValueError(
                f"told the outcome of variant {strangers[0]!r}, which this study is not waiting for"
            )
        self._outcomes.update({o.variant_id: o for o in outcomes})
        if not self.finished and wanted <= self._outcomes.keys():
            self._move_on()

    @property
    def result(self) -> Answer:
        """The answer.

        Raises:
            ValueError: before the study is finished.
        """
        if self._answer is None:
            raise ValueError(
                "the study has no result yet: ask, train and tell until it is finished"
            )
        return self._answer

    def _move_on(self, *, start: bool = False) -> None:
        try:
            self._wanted = (
                next(self._plan)
                if start
                else self._plan.send([self._outcomes[v.id] for v in self._wanted])
            )
            while not self._wanted:  # a plan may find that a stage of it needs nothing
                self._wanted = self._plan.send([])
        except StopIteration as stop:
            self._wanted, self._answer, self.finished = (), stop.value, True
        self._outcomes = {}
        # the same variant wanted twice is trained once
        self._queue = deque({v.id: v for v in self._wanted}.values())


def conduct(
    study: Study[Answer],
    trainer: Trainer,
    *,
    at_once: int = sys.maxsize,
    keep_weights: bool = False,
) -> Answer:
    """Ask, train and tell until the study has its answer.

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
        study.told(
            trainer.train(variants, keep_weights=keep_weights, study=study.name, ahead=study.ahead)
        )
    return study.result
