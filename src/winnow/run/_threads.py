"""Stacked fleets, one in each thread, each on one core.

Threads of one process share the data and the compiled programs. A fleet on one core needs no barriers inside its operations,
which are costly on small tensors and ruinous on a machine that is busy with other work.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from winnow.data import Prepared
from winnow.recipe import Variant
from winnow.run._plan import LARGEST_FLEET, cores, cut
from winnow.train import EpochReport, Finished, train_fleet

__all__ = ["Fleet", "one_thread", "train_in_threads", "train_side_by_side"]


@dataclass(frozen=True)
class Fleet:
    """Variants that train as one stacked program, their data, whether it is compiled, where its state is written meanwhile."""

    variants: Sequence[Variant]
    prepared: Prepared
    compiled: bool = False
    checkpoint: Path | None = None


def train_side_by_side(variants: Sequence[Variant], prepared: Prepared, *, compiled: bool = False) -> list[Finished]:
    """Train variants of one kind on all cores, without a ledger: the fleets that a runner would make of them.

    Args:
        variants: of equal shape settings.
        prepared: the data of all of them.
        compiled: run the stacked programs through ``torch.compile``.

    Returns:
        One result for each variant, in their order.
    """
    if len(variants) == 1:
        with one_thread():
            return train_fleet(variants, prepared)
    parts = cut(list(range(len(variants))), LARGEST_FLEET)
    fleets = [Fleet([variants[p] for p in part], prepared, compiled) for part in parts]
    results = train_in_threads(fleets, workers=cores(), on_epoch=lambda _: None)
    return [one for fleet in results for one in fleet]


class _Stopped(Exception):
    """Raised inside a fleet whose results nobody waits for any more."""


def train_in_threads(
    fleets: Sequence[Fleet],
    *,
    workers: int,
    on_epoch: Callable[[EpochReport], None],
) -> Iterator[list[Finished]]:
    """Train stacked fleets, ``workers`` at a time; yield their results in order, each as soon as those before it are there.

    Args:
        fleets: what trains together.
        workers: threads.
        on_epoch: called in this thread after each epoch of any fleet.

    Raises:
        ModelError: a model cannot be built.
    """
    reports: queue.SimpleQueue[EpochReport] = queue.SimpleQueue()
    stop = threading.Event()

    def report(epoch: EpochReport) -> None:
        if stop.is_set():
            raise _Stopped
        reports.put(epoch)

    def start(fleet: Fleet) -> list[Finished]:
        if stop.is_set():
            raise _Stopped
        return train_fleet(
            fleet.variants,
            fleet.prepared,
            stacked=True,
            compiled=fleet.compiled,
            on_epoch=report,
            checkpoint=fleet.checkpoint,
        )

    with one_thread(), ThreadPoolExecutor(workers, thread_name_prefix="fleet") as pool:
        try:
            futures = [pool.submit(start, fleet) for fleet in fleets]
            for future in futures:
                _wait(future, reports, on_epoch)
                yield future.result()
        finally:
            stop.set()  # left early: the fleets that still train end with their epoch


def _wait(
    future: Future[list[Finished]], reports: queue.SimpleQueue[EpochReport], on_epoch: Callable[[EpochReport], None]
) -> None:
    while not future.done() or not reports.empty():
        try:
            on_epoch(reports.get(timeout=0.05))
        except queue.Empty:
            continue


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, an operation of PyTorch runs on one core, in this thread and in those that it starts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
