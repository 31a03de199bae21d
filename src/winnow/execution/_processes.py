"""Variants that cannot be stacked, one at a time in as many worker processes as there are cores."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from winnow.data import PreparedData
from winnow.errors import WinnowError
from winnow.execution._failures import cause_of, failure
from winnow.execution._machine import cores
from winnow.execution._worker import Question, read_message, write_message
from winnow.recipe import Cause, Variant
from winnow.training import EpochReport, MemberResult, code_digest

__all__ = ["train_in_processes"]

# What ends a process from outside: the kernel that is out of memory, an operator, a closed session.
# Other signals are the program's own doing (a crash), and it would do it again.
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


def train_in_processes(
    variants: Sequence[Variant],
    prepared: PreparedData,
    *,
    checkpoints: Sequence[Path],
    checkpoint_seconds: float,
    on_epoch: Callable[[EpochReport], None],
    workers: int | None = None,
) -> Iterator[MemberResult]:
    """Train each variant in a worker process; yield each result as soon as it is there.

    A worker that is killed from outside (for its memory, say) trains its variant once more, from
    its checkpoint. One that dies otherwise, or again, or cannot be started, makes its variant a
    failed outcome; the others go on.

    Args:
        variants: of one data section.
        prepared: its rows.
        checkpoints: where each leaves its state while it trains, as ``train_fleet`` does.
        checkpoint_seconds: at least so long between two checkpoints.
        on_epoch: called in this thread after each epoch of any variant.
        workers: processes; None: one for each core.

    Raises:
        WinnowError: the workspace or the data cannot be used, which concerns all variants.
    """
    pool = _Pool(variants, prepared, checkpoints, checkpoint_seconds, workers or cores())
    left = len(variants)
    try:
        while left:
            answer = pool.answers.get()
            if isinstance(answer, EpochReport):
                on_epoch(answer)
                continue
            if isinstance(answer, Exception):
                raise answer
            left -= 1
            yield answer
    finally:
        pool.stop()


class _Stopped(Exception):
    """Raised in a thread whose results nobody waits for any more."""


class _Pool:
    """Worker processes, each tended by a thread.

    Attributes:
        answers: an ``EpochReport``, or what came out of a variant: ``MemberResult``, or an
            exception that ends all.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        prepared: PreparedData,
        checkpoints: Sequence[Path],
        checkpoint_seconds: float,
        workers: int,
    ) -> None:
        self.answers: queue.SimpleQueue[EpochReport | MemberResult | Exception] = (
            queue.SimpleQueue()
        )
        self._variants = variants
        self._prepared = prepared
        self._checkpoints = checkpoints
        self._checkpoint_seconds = checkpoint_seconds
        self._todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for position in range(len(variants)):
            self._todo.put(position)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()  # over the processes and whether more may be started
        self._stopped = False
        number = min(workers, len(variants))
        self._threads = [threading.Thread(target=self._tend, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all processes, also those in the middle of a training."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            thread.join()
        for process in list(self._processes):  # whose thread met with an error
            self._end(process)

    def _tend(self) -> None:
        """Train what is left, one after another, in one process as long as it lives."""
        process: subprocess.Popen[bytes] | None = None
        with contextlib.suppress(queue.Empty, _Stopped):
            while True:
                position = self._todo.get_nowait()
                # Gone from here while it is used: after an error nobody knows its state
                used, process = process, None
                try:
                    process, result = self._train(position, used)
                except _Stopped:
                    raise
                except WinnowError as error:
                    result = error
                # A variant that cannot be pickled, a process that cannot be started
                except Exception as error:
                    reason = f"no worker process could train it: {type(error).__name__}: {error}"
                    result = failure(
                        self._variants[position], reason, cause_of(error), fleet="process"
                    )
                self.answers.put(result)
        if process is not None:
            self._end(process)

    def _train(
        self, position: int, process: subprocess.Popen[bytes] | None
    ) -> tuple[subprocess.Popen[bytes] | None, MemberResult | Exception]:
        """Train one variant, in ``process`` or a new one.

        Returns:
            The process if it still lives, and what came out.
        """
        variant = self._variants[position]
        is_fresh = process is None
        process = process or self._start()
        message = None
        while True:
            try:
                result = self._ask(position, process, with_rows=is_fresh, message=message)
                break
            except (EOFError, OSError):
                code = self._end(process)
            is_second_death = message is not None
            if -code not in _FROM_OUTSIDE or is_second_death:
                return None, _killed(variant, code, again=is_second_death)
            message = _goes_on(code)
            is_fresh = True
            process = self._start()
        if isinstance(result, MemberResult):
            result = replace(result, outcome=replace(result.outcome, fleet="process"))
        elif not isinstance(result, WinnowError):
            result = failure(
                variant,
                f"its worker process could not take it: {result}",
                "environment",
                fleet="process",
            )
        return process, result

    def _ask(
        self,
        position: int,
        process: subprocess.Popen[bytes],
        *,
        with_rows: bool,
        message: str | None,
    ) -> MemberResult | Exception:
        """Let a process train a variant, pass its reports on, and return what comes out.

        Args:
            position: of the variant.
            process: a worker that waits.
            with_rows: whether it has not been given the rows yet.
            message: for the user, which goes along with the first report; None: there is none.
        """
        assert process.stdin is not None
        assert process.stdout is not None
        variant = self._variants[position]
        question = Question(
            variant=variant,
            code=code_digest(variant.model, variant.train, variant.metric),
            rows_digest=self._prepared.digest,
            rows=self._prepared if with_rows else None,
            checkpoint=self._checkpoints[position],
            checkpoint_seconds=self._checkpoint_seconds,
        )
        write_message(process.stdin, question)
        while True:
            answer = read_message(process.stdout)
            if not isinstance(answer, EpochReport):
                return answer
            if message is not None:
                if answer.message:
                    message = f"{message}; {answer.message}"
                answer = replace(answer, message=message)
                message = None
            self.answers.put(answer)

    def _start(self) -> subprocess.Popen[bytes]:
        # The user's modules must be found there too, and in the same order: PYTHONPATH would put
        # all of them before what is installed. Without -P, `python -c` begins with the current
        # directory.
        paths = [p or os.getcwd() for p in sys.path if isinstance(p, str)]
        main = "from winnow.execution._worker import main; main()"
        program = f"import sys; sys.path[:] = {paths!r}; {main}"
        command = [sys.executable, "-P", "-c", program]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with self._lock:
            if self._stopped:
                raise _Stopped
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            self._processes.append(process)
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Close both pipes, which ends a worker that lives; return its exit status."""
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # a dead worker's pipe cannot be flushed
                stream.close()
        code = process.wait()
        with self._lock:
            self._processes.remove(process)
        return code


def _goes_on(code: int) -> str:
    return (
        f"the worker process of a variant {_how_it_ended(code)}; another goes on from the "
        f"variant's last checkpoint"
    )


def _killed(variant: Variant, code: int, *, again: bool) -> MemberResult:
    """Return the failure of a variant whose process has ended before it."""
    reason = f"its worker process {_how_it_ended(code)}"
    if again:
        reason += ", and so was the one before it"
    # A crash is the variant's own doing; a kill from outside is not
    cause: Cause = "environment" if -code in _FROM_OUTSIDE else "variant"
    return failure(variant, reason, cause, fleet="process")


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    guess = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code}{guess}"
