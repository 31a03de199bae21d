"""What is running, the best score so far, member-steps per second, the time left."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from winnow.cli._interrupt import insisting
from winnow.errors import printable
from winnow.execution import Event
from winnow.training import compiling

__all__ = ["Bars", "Lines", "display"]

DOING = {
    "check": "looking",
    "search": "searching",
    "ablate": "ablating",
    "train": "training",
    "evaluate": "evaluating",
    "compress": "compressing",
    "report": "writing the report",
}
SECONDS_BETWEEN_LINES = 15.0  # so that a log gets a line every 20 s, also when a thread comes late


@contextmanager
def display(console: Console | None = None) -> Iterator[Callable[[Event], None]]:
    """Something to give as ``progress``: live bars on a terminal, else a line when a stage begins,
    ends, and now and then.

    It ends the work after Ctrl-C, also one that got lost on the way.
    """
    # The stream of now: while other libraries are kept quiet there is another in its place, which
    # swallows what is written.
    console = console or Console(file=sys.stderr)
    with insisting() as insist, shown_on(console) as show:

        def tell(event: Event) -> None:
            insist()
            show(event)

        yield tell


@contextmanager
def shown_on(console: Console) -> Iterator[Bars | Lines]:
    """What shows events on ``console``."""
    if not console.is_terminal:
        lines = Lines(console)
        with _ticking(lines.tick):
            yield lines
        lines.close()
        return
    with Bars(console) as bars:
        yield bars


@contextmanager
def _ticking(tick: Callable[[], None], seconds: float = 1.0) -> Iterator[None]:
    """Calls ``tick`` every second meanwhile, from a thread of its own."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(seconds):
            tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def describe(event: Event) -> str:
    """``best accuracy 0.9722, 18,000 member-steps/s, 40 s left``: as much as is known."""
    known = []
    if event.best is not None:
        known.append(" ".join(filter(None, ["best", event.metric, f"{event.best:.4g}"])))
    if event.member_steps_per_second:
        known.append(f"{event.member_steps_per_second:,.0f} member-steps/s")
    if event.seconds_left:
        known.append(f"{_seconds(event.seconds_left)} left")
    return ", ".join(known)


class _Known(TextColumn):
    """What is known of the stage that runs, or that it compiles."""

    def render(self, task: Task) -> Text:
        return (
            Text("compiling", style="dim")
            if compiling() and not task.finished
            else super().render(task)
        )


class Bars:
    """One bar for each stage, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            _Known("[dim]{task.fields[known]}[/dim]"),
            console=console,
        )
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if event.message is not None:
            self._progress.console.print(
                f"[yellow]note[/yellow] {escape(printable(event.message))}", highlight=False
            )
        if not event.total:
            return
        if event.stage != self._stage:
            self._finish()
            self._stage = event.stage
            self._task = self._progress.add_task(
                DOING.get(event.stage, event.stage), count="", known="", total=event.total
            )
        assert self._task is not None
        count = f"{event.done}/{event.total}" if event.total > 1 else ""
        self._progress.update(
            self._task, completed=event.done, total=event.total, count=count, known=describe(event)
        )

    def _finish(self) -> None:
        if self._task is not None:
            done = self._progress.tasks[-1]
            self._progress.update(
                self._task, total=max(done.completed, 1), completed=max(done.completed, 1)
            )
            self._progress.stop_task(self._task)


class Lines:
    """Lines of text, for log files. Calls may come from two threads: of events, and of the
    clock.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._lock = threading.RLock()
        self._last: Event | None = None
        self._began = self._told = 0.0

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)

    def tick(self) -> None:
        """Say what is going on when nothing was said for a while: stages may be silent for
        long, and compiling is.
        """
        with self._lock:
            now = self._clock()
            if self._last is not None and now - self._told >= SECONDS_BETWEEN_LINES:
                self._told = now
                doing = (
                    "compiling"
                    if compiling()
                    else f"still {DOING.get(self._last.stage, self._last.stage)}"
                )
                self._print(
                    "  "
                    + ", ".join(
                        filter(
                            None,
                            [doing, _counted(self._last), f"{_seconds(now - self._began)} so far"],
                        )
                    )
                )

    def _take(self, event: Event) -> None:
        if event.message is not None:
            self._print(f"note: {printable(event.message)}")
        if not event.total:
            return
        now = self._clock()
        if self._last is None or event.stage != self._last.stage:
            self.close()
            self._began = self._told = now
            self._print(f"{DOING.get(event.stage, event.stage)} ...")
        elif now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._print(f"  {_counted(event)}")
        self._last = event

    def close(self) -> None:
        """Tell how the last stage ended."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._last is not None:
            # It may have needed fewer than was expected
            last = replace(self._last, total=self._last.done, seconds_left=None)
            ended = _counted(last)
            self._print(
                f"  {ended}{', ' if ended else ''}took {_seconds(self._clock() - self._began)}"
            )
            self._last = None

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _counted(event: Event) -> str:
    count = f"{event.done} of {event.total} trained" if event.total > 1 else ""
    return ", ".join(piece for piece in (count, describe(event)) if piece)


def _seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
