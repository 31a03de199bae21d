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

__all__ = ["ProgressBars", "ProgressLines", "display"]

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
    """Show events on a console, and end the work after Ctrl-C, also one that got lost on the way.

    Args:
        console: where to show them; None: on standard error.

    Yields:
        Something to give as ``progress``: it shows live bars on a terminal, else a line when a
        stage begins, ends, and now and then.
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
def shown_on(console: Console) -> Iterator[ProgressBars | ProgressLines]:
    """Yield what shows events on ``console``."""
    if console.is_terminal:
        with ProgressBars(console) as bars:
            yield bars
        return
    lines = ProgressLines(console)
    with _ticking(lines.tick):
        yield lines
    lines.close()


@contextmanager
def _ticking(tick: Callable[[], None], seconds: float = 1.0) -> Iterator[None]:
    """Inside, ``tick`` is called every second, from a thread of its own."""
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


# -- bars ------------------------------------------------------------------------------------------


class KnownColumn(TextColumn):
    """What is known of the stage that runs, or that it compiles."""

    def render(self, task: Task) -> Text:
        """Return the text beside a bar."""
        if compiling() and not task.finished:
            return Text("compiling", style="dim")
        return super().render(task)


class ProgressBars:
    """One bar for each stage, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            KnownColumn("[dim]{task.fields[known]}[/dim]"),
            console=console,
        )
        self._stage: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # After an error the bar stays where it was: its stage did not end.
        if kind is None:
            self._finish()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.message is not None:
            note = escape(printable(event.message))
            self._progress.console.print(f"[yellow]note[/yellow] {note}", highlight=False)
        if not event.total:
            return
        if event.stage != self._stage:
            self._begin(event)
        assert self._task is not None
        # A stage that trains nothing counts to one, of which nobody needs to read.
        count = f"{event.done}/{event.total}" if event.total > 1 else ""
        self._progress.update(
            self._task,
            completed=event.done,
            total=event.total,
            count=count,
            known=describe(event),
        )

    def _begin(self, event: Event) -> None:
        self._finish()
        self._stage = event.stage
        self._task = self._progress.add_task(_doing(event), count="", known="", total=event.total)

    def _finish(self) -> None:
        """Fill the bar of the last stage, which may have needed fewer than was expected."""
        if self._task is None:
            return
        done = max(self._progress.tasks[-1].completed, 1)
        self._progress.update(self._task, total=done, completed=done)
        self._progress.stop_task(self._task)


# -- lines -----------------------------------------------------------------------------------------


class ProgressLines:
    """Lines of text, for log files.

    Calls may come from two threads: of events, and of the clock.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        # The same thread takes it again where an event closes the stage before.
        self._lock = threading.RLock()
        self._last: Event | None = None
        self._began = self._told = 0.0

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            self._take(event)

    def tick(self) -> None:
        """Say what is going on when nothing was said for a while: stages may be silent for
        long, and compiling is.
        """
        with self._lock:
            now = self._clock()
            if self._last is None or now - self._told < SECONDS_BETWEEN_LINES:
                return
            self._told = now
            doing = "compiling" if compiling() else f"still {_doing(self._last)}"
            so_far = f"{_seconds(now - self._began)} so far"
            self._print("  " + _joined(doing, _counted(self._last), so_far))

    def close(self) -> None:
        """Tell how the last stage ended."""
        with self._lock:
            if self._last is None:
                return
            # It may have needed fewer than was expected.
            last = replace(self._last, total=self._last.done, seconds_left=None)
            took = f"took {_seconds(self._clock() - self._began)}"
            self._print("  " + _joined(_counted(last), took))
            self._last = None

    def _take(self, event: Event) -> None:
        if event.message is not None:
            self._print(f"note: {printable(event.message)}")
        if not event.total:
            return
        now = self._clock()
        if self._last is None or event.stage != self._last.stage:
            self.close()
            self._began = self._told = now
            self._print(f"{_doing(event)} ...")
        elif now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            self._print(f"  {_counted(event)}")
        self._last = event

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


# -- words -----------------------------------------------------------------------------------------


def describe(event: Event) -> str:
    """Return as much as is known: ``best accuracy 0.9722, 18,000 member-steps/s, 40 s left``."""
    best = rate = left = ""
    if event.best is not None:
        metric = f"{event.metric} " if event.metric else ""
        best = f"best {metric}{event.best:.4g}"
    if event.member_steps_per_second:
        rate = f"{event.member_steps_per_second:,.0f} member-steps/s"
    if event.seconds_left:
        left = f"{_seconds(event.seconds_left)} left"
    return _joined(best, rate, left)


def _doing(event: Event) -> str:
    return DOING.get(event.stage, event.stage)


def _counted(event: Event) -> str:
    count = f"{event.done} of {event.total} trained" if event.total > 1 else ""
    return _joined(count, describe(event))


def _joined(*pieces: str) -> str:
    """Return the pieces that are not empty, with commas between them."""
    return ", ".join(filter(None, pieces))


def _seconds(seconds: float) -> str:
    if seconds < 9.5:  # a decimal says something only while seconds are few
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
