"""From the progress of single batches to that of whole stages."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from winnow.execution import Event
from winnow.recipe import better

__all__ = ["StageProgress"]

# Of a stage that must have passed before anything is said about the rest of it
LEAST_SECONDS, LEAST_SHARE = 3.0, 0.1


class StageProgress:
    """A study hands its variants to the runner in batches, and the runner tells of one batch; users
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

    def __call__(self, event: Event) -> None:
        """Take in one of the runner's events. Exactly the last one of a batch has ``done ==
        total``.
        """
        if event.stage != self._stage:
            self._stage, self._before, self._best = event.stage, 0, None
            self._began = math.inf
            self._batch: tuple[float, int] | None = None
        if self._batch is None:
            self._began = min(self._began, self._clock())
            # When it began, and how much of it was in the ledger already
            self._batch = self._clock(), event.done
        if event.best is not None and (
            self._best is None or better(self._metric, event.best, self._best)
        ):
            self._best = event.best
        later = max(self._expected.get(event.stage, 0) - self._before - event.total, 0)
        whole = replace(
            event,
            done=self._before + event.done,
            total=self._before + event.total + later,
            best=self._best,
            seconds_left=self._trusted(self._left(event, self._batch, later)),
        )
        if event.done == event.total:
            self._before, self._batch = self._before + event.total, None
        self._progress(whole)

    def _trusted(self, left: float | None) -> float | None:
        """The time left, unless too little was seen of the stage to tell: what the first epochs
        took may be that of starting.
        """
        elapsed = self._clock() - self._began
        return (
            left
            if left is not None
            and elapsed >= LEAST_SECONDS
            and elapsed >= LEAST_SHARE * (elapsed + left)
            else None
        )

    def _left(self, event: Event, batch: tuple[float, int], later: int) -> float | None:
        began, known = batch
        if event.seconds_left is None or event.total == known:
            return event.seconds_left
        each = (self._clock() - began + event.seconds_left) / (event.total - known)
        return event.seconds_left + later * each
