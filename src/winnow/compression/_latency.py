"""How long a call takes: contestants measured in turns, so that what else the machine does hits
all of them alike.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from winnow.compression._records import LatencyRecord
from winnow.stats import Interval
from winnow.trees import Tree, map_tree

__all__ = ["Call", "Latency", "LatencyTiming", "measure_latency", "speedup"]

Call = Callable[[Tree], Any]
_SLICE_SECONDS = 0.002  # a contestant's turn, unless one call takes longer
_MOST_CALLS = 50  # in one turn


@dataclass(frozen=True)
class LatencyTiming:
    """How much is measured.

    Attributes:
        batch_sizes: rows per call.
        seconds: for each batch size, over all contestants; a slow model gets fewer samples, at
            least ``min_rounds`` turns.
        min_samples: calls per contestant; with these and half the seconds spent, it is enough.
        min_rounds: turns per contestant, whatever they take; below 6 no speed-up has an interval.
        warm_up: calls before anything counts.
        threads: for each contestant, the same.
        clock: seconds, rising.
    """

    batch_sizes: tuple[int, ...] = (1, 64)
    seconds: float = 1.5
    min_samples: int = 300
    min_rounds: int = 8
    warm_up: int = 10
    threads: int = 1
    clock: Callable[[], float] = field(default=time.perf_counter, repr=False)

    def __post_init__(self) -> None:
        for name in ("seconds", "min_samples", "min_rounds", "threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be above 0, got {getattr(self, name)!r}")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise ValueError(
                f"`batch_sizes` must be at least one size from 1, got {self.batch_sizes}"
            )


@dataclass(frozen=True)
class Latency:
    """Milliseconds per call.

    Attributes:
        median_ms, p95_ms: over all calls.
        samples: calls measured.
        turns_ms: (R,) the median of each turn; turns of the same number belong together.
    """

    median_ms: float
    p95_ms: float
    samples: int
    turns_ms: np.ndarray = field(repr=False, compare=False)

    @property
    def record(self) -> LatencyRecord:
        return LatencyRecord(self.median_ms, self.p95_ms, self.samples)


def measure_latency(
    contestants: Mapping[str, Call], rows: Tree, *, timing: LatencyTiming
) -> dict[str, dict[int, Latency]]:
    """Time every contestant at every batch size.

    In each round every contestant has a turn of about 2 ms; the order is reversed from round to
    round. The first call of a turn warms the caches and does not count, unless one call fills the
    turn.

    Args:
        contestants: by name, functions of a batch (batch, *shape). Threads are the caller's matter.
        rows: (n, *shape) in the types that the model gets, repeated where a batch needs more.
        timing: how much.

    Returns:
        By contestant, by batch size.
    """
    found: dict[str, dict[int, Latency]] = {name: {} for name in contestants}
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a call is not the model's time
    try:
        for size in timing.batch_sizes:
            batch = map_tree(lambda array, size=size: _resized(array, size), rows)
            turns = _rounds(contestants, batch, timing)
            for name, taken in turns.items():
                found[name][size] = _summary(taken)
    finally:
        if collecting:
            gc.enable()
    return found


def _resized(array: np.ndarray, size: int) -> np.ndarray:
    return np.ascontiguousarray(np.resize(array, (size, *array.shape[1:])))


def _rounds(
    contestants: Mapping[str, Call], batch: Tree, timing: LatencyTiming
) -> dict[str, list[list[float]]]:
    """Return seconds of each call, by contestant and turn."""
    clock, names = timing.clock, list(contestants)
    start = clock()
    calls = {name: _calls_per_turn(contestants[name], batch, timing) for name in names}
    turns: dict[str, list[list[float]]] = {name: [] for name in names}
    while True:
        for name in names if len(turns[names[0]]) % 2 == 0 else reversed(names):
            turns[name].append(_turn(contestants[name], batch, calls[name], clock))
        rounds, spent = len(turns[names[0]]), clock() - start
        enough = (
            all(rounds * n >= timing.min_samples for n in calls.values())
            and spent >= timing.seconds / 2
        )
        if rounds >= timing.min_rounds and (enough or spent >= timing.seconds):
            return turns


def _calls_per_turn(call: Call, batch: Tree, timing: LatencyTiming) -> int:
    """Return how many calls fill a turn, found while warming up; a slow model is not warmed up for
    ever.
    """
    limit = timing.clock() + timing.seconds / 20
    taken = []
    for _ in range(max(1, timing.warm_up)):
        start = timing.clock()
        call(batch)
        taken.append(timing.clock() - start)
        if timing.clock() > limit:
            break
    shortest = min(taken)
    return max(1, min(_MOST_CALLS, int(_SLICE_SECONDS / shortest))) if shortest > 0 else _MOST_CALLS


def _turn(call: Call, batch: Tree, calls: int, clock: Callable[[], float]) -> list[float]:
    if calls > 1:
        call(batch)
    taken = []
    for _ in range(calls):
        start = clock()
        call(batch)
        taken.append(clock() - start)
    return taken


def _summary(turns: list[list[float]]) -> Latency:
    every = np.concatenate([np.asarray(turn) for turn in turns]) * 1e3
    return Latency(
        median_ms=float(np.median(every)),
        p95_ms=float(np.quantile(every, 0.95)),
        samples=len(every),
        turns_ms=np.array([np.median(turn) * 1e3 for turn in turns]),
    )


def speedup(reference: Latency, candidate: Latency, *, confidence: float = 0.95) -> Interval:
    """Return how many times faster ``candidate`` is than ``reference``: above 1 is faster.

    Median over the rounds of the ratio of the two turns' medians, with its exact distribution-free
    interval: a turn that was disturbed is one vote, however long it took. Both must come from one
    ``measure_latency``, so that turns of the same number stood side by side. With fewer than 6
    rounds no interval of 95 % exists, and the ends are 0 and infinity.

    Source: order statistics and the binomial distribution, as in the sign test
    (``scipy.stats.quantile_test``).
    """
    from scipy.stats import quantile_test

    ratios = reference.turns_ms / candidate.turns_ms
    found = quantile_test(ratios, p=0.5).confidence_interval(confidence)
    low, high = (
        none if math.isnan(end) else float(end)
        for end, none in ((found.low, 0.0), (found.high, math.inf))
    )
    return Interval(float(np.median(ratios)), low, high, confidence, len(ratios), kind="median")
