"""Variants that cannot be stacked, one at a time in as many worker processes as there are cores."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from winnow.data import Prepared
from winnow.recipe import Outcome, Variant
from winnow.run._plan import cores
from winnow.run._worker import read_message, write_message
from winnow.train import Finished

__all__ = ["train_in_processes"]


def train_in_processes(variants: Sequence[Variant], prepared: Prepared, *, workers: int | None = None) -> Iterator[Finished]:
    """Train each variant in a worker process; yield results in the order of the variants, each as soon as those before it are
    there.

    A worker that dies (killed for its memory, say) makes its variant a failed outcome; the others go on.

    Args:
        variants: of one data section.
        prepared: its rows.
        workers: processes; None: one for each core.

    Raises:
        WinnowError: what training the variant raised.
    """
    workers = min(workers or cores(), len(variants))
    todo: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    for item in [*range(len(variants)), *[None] * workers]:
        todo.put(item)
    processes: list[subprocess.Popen[bytes]] = []
    threads = [
        threading.Thread(target=_tend, args=(variants, prepared, todo, done, processes), daemon=True) for _ in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        waiting: dict[int, Any] = {}
        for position in range(len(variants)):
            while position not in waiting:
                at, result = done.get()
                waiting[at] = result
            result = waiting.pop(position)
            if isinstance(result, Exception):
                raise result
            yield result
    finally:
        while not todo.empty():  # left early: nobody starts another variant
            todo.get()
        for _ in threads:
            todo.put(None)
        for process in list(processes):
            process.kill()
        for thread in threads:
            thread.join()


def _tend(
    variants: Sequence[Variant],
    prepared: Prepared,
    todo: queue.SimpleQueue[int | None],
    done: queue.SimpleQueue[tuple[int, Any]],
    processes: list[subprocess.Popen[bytes]],
) -> None:
    """Keep one worker process busy; start a new one when it dies."""
    process: subprocess.Popen[bytes] | None = None
    while (position := todo.get()) is not None:
        variant = variants[position]
        fresh = process is None
        if process is None:
            process = _start()
            processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            write_message(process.stdin, (variant, prepared.digest, prepared if fresh else None))
            result = read_message(process.stdout)
        except (EOFError, OSError):
            code = _end(process, processes)
            process = None
            result = Finished(variant, _died(variant, code), None)
        if isinstance(result, Finished):
            result = replace(result, outcome=replace(result.outcome, fleet="process"))
        done.put((position, result))
    if process is not None:
        _end(process, processes)


def _end(process: subprocess.Popen[bytes], processes: list[subprocess.Popen[bytes]]) -> int:
    """Close both pipes, which ends a worker that lives, and wait; its exit status."""
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        with contextlib.suppress(OSError):  # a dead worker's pipe cannot be flushed
            stream.close()
    code = process.wait()
    processes.remove(process)
    return code


def _start() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(p or os.getcwd() for p in sys.path)  # the user's modules must be found there too
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", "from winnow.run._worker import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def _died(variant: Variant, code: int) -> Outcome:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
    return Outcome(variant_id=variant.id, status="failed", reason=f"its worker process {how} (out of memory?)", fleet="process")
