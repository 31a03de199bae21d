"""The end of a command that was given minutes."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from winnow.cli._guard import tell

__all__ = ["Deadline", "deadline", "process_began", "run_process"]

LATEST = 1.05  # times the minutes
MARGIN = 0.3  # seconds before that, for the end itself
TIMED_OUT = 124  # exit code, as of timeout(1)

_is_ours = False  # whether the process is there for a command alone, and may be ended
_has_limit = False


def process_began() -> float:
    """Return the reading of ``time.perf_counter`` when this process began.

    Where the system does not tell, that is now.
    """
    now = time.perf_counter()
    try:
        with open("/proc/self/stat", encoding="utf-8") as file:
            text = file.read()
        # The name of the program, in brackets, may hold anything; the start is the 22nd field.
        fields = text.rpartition(")")[2].split()
        ticks = int(fields[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return now
    return now - max(age, 0.0)


class Deadline:
    """Ends the process when its minutes are long over. Everything in a run directory outlives
    that, as it does a kill.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def set(self, minutes: float, left: float) -> None:
        """End the process a twentieth of its minutes after they are over.

        Args:
            minutes: that the run was given.
            left: seconds until they are over; infinite: it is never ended.
        """
        global _has_limit
        self.cancel()
        _has_limit = True
        if not _is_ours:
            return
        seconds = left + (LATEST - 1) * 60 * minutes - MARGIN
        if seconds < threading.TIMEOUT_MAX:
            self._timer = threading.Timer(max(seconds, 0.0), _end, (minutes,))
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """Let the process live."""
        if self._timer is not None:
            self._timer.cancel()


@contextmanager
def deadline(minutes: float | None, began: float) -> Iterator[Deadline]:
    """Inside, the process ends at the latest when its minutes, if it was given any, are over by a
    twentieth.

    Args:
        minutes: that were asked for, as far as is known before the recipe was read.
        began: reading of ``time.perf_counter`` from which they count.
    """
    limit = Deadline()
    if minutes is not None:
        limit.set(minutes, began + 60 * minutes - time.perf_counter())
    try:
        yield limit
    finally:
        limit.cancel()


def run_process(command: Callable[[], None]) -> None:
    """Run a command that has the process for itself: one that was given minutes may end it when
    they are over.

    At its end the interpreter is not taken apart, which with PyTorch loaded takes more than a
    second. What libraries wish to do at the end is done, except where minutes were given: that may
    take seconds, too.

    Args:
        command: the command, which ends with ``SystemExit``.
    """
    global _is_ours
    _is_ours = True
    try:
        command()
    except SystemExit as end:
        # Python prints a code that is text, and waits for threads that are at work.
        if not isinstance(end.code, int) or (_has_threads_at_work() and not _has_limit):
            raise
        if not _has_limit:
            atexit._run_exitfuncs()
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:  # a pipe that nobody reads any more, of which the interpreter tells
            raise end from None
        os._exit(end.code)


def _has_threads_at_work() -> bool:
    """Tell whether there are threads that the interpreter would wait for."""
    others = [t for t in threading.enumerate() if t is not threading.current_thread()]
    return any(not thread.daemon for thread in others)


def _end(minutes: float) -> None:
    """End the process; what is in the run directory outlives it."""
    tell(
        f"winnow: {minutes:g} minutes were over before everything was done. What was finished is "
        f"kept: run the same command with "
        "more minutes to go on."
    )
    sys.stdout.flush()
    os._exit(TIMED_OUT)
