"""Stacked fleets, one in each thread, each on one core.

Threads of one process share the data and the compiled programs. A fleet on one core needs no
barriers inside its operations, which are costly on small tensors and ruinous on a machine that is
busy with other work.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from winnow.data import PreparedData
from winnow.errors import WorkspaceError
from winnow.execution._capacity import LARGEST_FLEET, memory_bytes, on_gpu
from winnow.execution._failures import train_in_halves
from winnow.execution._fleets import cut
from winnow.execution._machine import cores
from winnow.recipe import Variant
from winnow.threads import threads_of_torch
from winnow.training import EpochReport, MemberResult, train_fleet

__all__ = ["Fleet", "train_in_threads", "train_side_by_side"]


@dataclass(frozen=True)
class Fleet:
    """Variants that train as one stacked program.

    Attributes:
        variants: of equal shapes.
        prepared: their data.
        compiled: whether the program is compiled.
        checkpoint: gives the place where the state of these variants is written meanwhile; None:
            it is not.
        checkpoint_seconds: at least so long between two checkpoints.
        peak_bytes: what it is predicted to hold at the most; 0: not known.
    """

    variants: Sequence[Variant]
    prepared: PreparedData
    compiled: bool = False
    checkpoint: Callable[[Sequence[Variant]], Path] | None = None
    checkpoint_seconds: float = 20.0
    peak_bytes: int = 0

    def train(
        self, *, stacked: bool, on_epoch: Callable[[EpochReport], None]
    ) -> Iterator[list[MemberResult]]:
        """Yield the results, all at once, or of its parts where it failed as a whole."""

        def train(
            variants: Sequence[Variant], stacked: bool, tell: Callable[[EpochReport], None]
        ) -> list[MemberResult]:
            place = None if self.checkpoint is None else self.checkpoint(variants)
            try:
                return train_fleet(
                    variants,
                    self.prepared,
                    stacked=stacked,
                    compiled=self.compiled and stacked,
                    on_epoch=tell,
                    checkpoint=place,
                    checkpoint_seconds=self.checkpoint_seconds,
                )
            except Exception as error:
                if place is not None and not isinstance(error, WorkspaceError):
                    place.unlink(missing_ok=True)  # nobody goes on with this fleet
                raise

        return train_in_halves(self.variants, train, stacked=stacked, on_epoch=on_epoch)


def train_side_by_side(
    variants: Sequence[Variant], prepared: PreparedData, *, compiled: bool = False
) -> list[MemberResult]:
    """Train variants of one kind on all cores, without a ledger, as the fleets that a runner would
    make of them.

    Args:
        variants: of equal shape settings.
        prepared: the data of all of them.
        compiled: run them as compiled programs.

    Returns:
        One result for each variant, in their order.
    """
    if len(variants) == 1:
        with threads_of_torch(1):
            return train_fleet(variants, prepared)
    parts = cut(list(range(len(variants))), LARGEST_FLEET)
    fleets = [Fleet([variants[p] for p in part], prepared, compiled) for part in parts]
    results = train_in_threads(fleets, workers=1 if on_gpu() else cores(), on_epoch=lambda _: None)
    found = {result.variant.id: result for fleet in results for result in fleet}
    return [found[variant.id] for variant in variants]


class _Stopped(Exception):
    """Raised inside a fleet whose results nobody waits for any more."""


def train_in_threads(
    fleets: Sequence[Fleet],
    *,
    workers: int,
    on_epoch: Callable[[EpochReport], None],
) -> Iterator[list[MemberResult]]:
    """Train stacked fleets, ``workers`` at a time; yield the results of each as soon as it ends, so
    that they can be recorded. A fleet that fails is halved, and each part has ended when it has.

    Args:
        fleets: what trains together.
        workers: threads; fewer train at once where their predicted peaks would not fit the memory
            together.
        on_epoch: called in this thread after each epoch of any fleet.

    Raises:
        WinnowError: the workspace or the data cannot be used.
    """
    reports: queue.SimpleQueue[EpochReport | list[MemberResult]] = queue.SimpleQueue()
    stop = threading.Event()

    def report(epoch: EpochReport) -> None:
        if stop.is_set():
            raise _Stopped
        reports.put(epoch)

    room = _Room(memory_bytes())

    def start(fleet: Fleet) -> None:
        with room.taken(fleet.peak_bytes):
            if stop.is_set():
                raise _Stopped
            for part in fleet.train(stacked=True, on_epoch=report):
                reports.put(part)

    with threads_of_torch(1), ThreadPoolExecutor(workers, thread_name_prefix="fleet") as pool:
        try:
            futures = [pool.submit(start, fleet) for fleet in fleets]
            for future in futures:
                while not future.done() or not reports.empty():
                    try:
                        told = reports.get(timeout=0.05)
                    except queue.Empty:
                        continue
                    if isinstance(told, EpochReport):
                        on_epoch(told)
                    else:
                        yield told
                future.result()  # raises what ended it
        finally:
            stop.set()  # left early: the fleets that still train end with their epoch


class _Room:
    """Memory that threads share: who wants more than is left waits, unless nobody else has any."""

    def __init__(self, nbytes: int) -> None:
        self._left = nbytes
        self._guests = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, nbytes: int) -> Iterator[None]:
        """Take so many bytes for the time of a ``with`` block, when they are there."""
        with self._changed:
            self._changed.wait_for(lambda: nbytes <= self._left or not self._guests)
            self._left -= nbytes
            self._guests += 1
        try:
            yield
        finally:
            with self._changed:
                self._left += nbytes
                self._guests -= 1
                self._changed.notify_all()
