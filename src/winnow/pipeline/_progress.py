"""From the progress of single batches to that of whole stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from winnow.execution import Event
from winnow.recipe import better

__all__ = ["StageProgress"]

# Of a stage that must have passed before anything is said about the rest of it
LEAST_SECONDS, LEAST_SHARE = 3.0, 0.1


@dataclass(frozen=True)
class StartedBatch:
    """A batch of variants that the runner is at.

    Attributes:
        began: reading of the clock.
        known: how many of them were in the ledger already.
    """

    began: float
    known: int


class StageProgress:
    """Tells of whole stages.

    A study hands its variants to the runner in batches, and the runner tells of one batch; users
    ask about the whole stage.

    Args:
        progress: told about the stage.
        metric: of the scores.
        expected: about how many trainings each stage asks for.
        clock: gives seconds.
    """

    def __init__(
        self,
        progress: Callable[[Event], None],
        *,
        metric: str,
        expected: Mapping[str, int],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._progress = progress
        self._metric = metric
        self._expected = expected
        self._clock = clock
        self._stage: str | None = None
        self._began: float | None = None  # when the first batch of the stage did
        self._batch: StartedBatch | None = None
        self._trained = 0  # in the batches of the stage that are over
        self._best: float | None = None

    def __call__(self, event: Event) -> None:
        """Take in one of the runner's events. Exactly the last one of a batch has ``done ==
        total``.
        """
        if event.stage != self._stage:
            self._begin(event.stage)
        now = self._clock()
        if self._batch is None:
            self._batch = StartedBatch(now, event.done)
        if self._began is None:
            self._began = now
        if event.best is not None:
            self._see(event.best)
        later = max(self._expected.get(event.stage, 0) - self._trained - event.total, 0)
        left = self._seconds_left(event, self._batch, later)
        whole = replace(
            event,
            done=self._trained + event.done,
            total=self._trained + event.total + later,
            best=self._best,
            seconds_left=left if self._is_trusted(left, self._began) else None,
        )
        if event.done == event.total:
            self._trained += event.total
            self._batch = None
        self._progress(whole)

    def _begin(self, stage: str) -> None:
        self._stage = stage
        self._began = None
        self._batch = None
        self._trained = 0
        self._best = None

    def _see(self, score: float) -> None:
        if self._best is None or better(self._metric, score, self._best):
            self._best = score

    def _is_trusted(self, left: float | None, began: float) -> bool:
        """Tell whether enough was seen of the stage to say how long it still takes.

        What the first epochs took may be that of starting.
        """
        if left is None:
            return False
        elapsed = self._clock() - began
        return elapsed >= LEAST_SECONDS and elapsed >= LEAST_SHARE * (elapsed + left)

    def _seconds_left(self, event: Event, batch: StartedBatch, later: int) -> float | None:
        """Return how long the stage still takes, with ``later`` trainings after this batch."""
        if event.seconds_left is None or event.total == batch.known:
            return event.seconds_left
        new = event.total - batch.known
        each = (self._clock() - batch.began + event.seconds_left) / new
        return event.seconds_left + later * each
