"""Does stacking pay for this model on this machine? A short side-by-side run tells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from winnow.data import PreparedData
from winnow.recipe import Variant
from winnow.threads import threads_of_torch
from winnow.training._augment import Augmentation
from winnow.training._batches import head_batch
from winnow.training._build import build_members, build_program
from winnow.training._dummy_step import dummy_step, same_rows
from winnow.training._settings import batch_size, dtype_of
from winnow.training._stack import stacking
from winnow.training._stacked import StackedProgram

__all__ = ["StepTiming", "measure", "measure_compiled"]

FIRST = 8  # members of the stack that is tried first; where that tells enough, no larger one is
ROUNDS = 5
CLEAR = 2.0  # times slower: then there is nothing left to measure


@dataclass(frozen=True)
class StepTiming:
    """Seconds of one member-step on one core: in a stacked program of ``members``, and alone."""

    stacked_seconds: float
    alone_seconds: float
    members: int


def measure(
    variant: Variant, prepared: PreparedData, *, members: int = FIRST, seconds: float = 1.0
) -> StepTiming:
    """Time real steps at the real batch size, stacked and alone in turns: the processor time of the
    quickest of each. Other work on the machine adds to the time on the clock, and more to long
    steps than to short ones. Changes nothing.

    Args:
        variant: with nothing open; of a kind that stacks.
        prepared: its data.
        members: that a fleet would have, >= 2. A few are tried first, and so many only where those
            leave it open and the time is there.
        seconds: after about so long it stops, but not before every program has taken two steps.
    """
    until = time.perf_counter() + seconds
    with threads_of_torch(1), stacking():
        alone = _Stopwatch(_seeds_of(variant, 1), prepared)
        few = _Stopwatch(_seeds_of(variant, min(FIRST, members)), prepared)
        for _ in range(ROUNDS):
            few.step()
            for _ in range(max(1, few.members // 2)):
                alone.step()
            if few.steps > 1 and (
                time.perf_counter() > until or not 1 / CLEAR < few.best / alone.best < CLEAR
            ):
                break
        best = few
        left = until - time.perf_counter()
        if (
            members > few.members
            and 1 / CLEAR < few.best / alone.best < CLEAR
            and 3 * few.best * members < left
        ):
            best = _Stopwatch(_seeds_of(variant, members), prepared)
            while best.steps < 2 or (best.steps < ROUNDS and time.perf_counter() < until):
                best.step()
    return StepTiming(best.best, alone.best, best.members)


def measure_compiled(
    variants: Sequence[Variant], prepared: PreparedData, *, seconds: float = 1.0
) -> tuple[float, float] | None:
    """Compile the step of a fleet and time it, on one core.

    Args:
        variants: of the fleet; later ones of their kind find the program made.
        prepared: their data.
        seconds: of stepping, about.

    Returns:
        Seconds on the clock until the compiled step was there, and of processor time of a
        member-step; None where it cannot be compiled.
    """
    with threads_of_torch(1), stacking():
        began = time.perf_counter()
        stopwatch = _Stopwatch(variants, prepared, compiled=True)
        stopwatch.step()
        made = time.perf_counter()
        stopwatch.best = float("inf")
        while stopwatch.steps < 3 or (
            stopwatch.steps <= ROUNDS and time.perf_counter() < made + seconds
        ):
            stopwatch.step()
    return (made - began, stopwatch.best) if stopwatch.is_compiled else None


def _seeds_of(variant: Variant, members: int) -> list[Variant]:
    return [variant.model_copy(update={"seed": variant.seed + i}) for i in range(members)]


class _Stopwatch:
    """A program and the seconds that a member-step of it took at best."""

    def __init__(
        self, group: Sequence[Variant], prepared: PreparedData, *, compiled: bool = False
    ) -> None:
        dtype = dtype_of(group[0])
        rows = head_batch(prepared, batch_size(group[0], len(prepared.train)), dtype)
        self._batch = same_rows(rows, len(group))
        self._augment = Augmentation.of(group, prepared, range(1), dtype)
        modules = build_members(group, prepared)
        stacked = len(group) > 1
        self._program = build_program(modules, group, prepared, stacked=stacked, compiled=compiled)
        self._seeds = [v.seed for v in group]
        self.members = len(group)
        self.steps = 0
        self.best = float("inf")

    @property
    def is_compiled(self) -> bool:
        return isinstance(self._program, StackedProgram) and self._program.is_compiled

    def step(self) -> None:
        began = time.thread_time()
        dummy_step(self._program, self._augment(self._batch, 0), self._seeds)
        self.best = min(self.best, (time.thread_time() - began) / self.members)
        self.steps += 1
