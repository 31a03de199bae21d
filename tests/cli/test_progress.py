"""What is shown while something runs."""

from __future__ import annotations

import io
import signal
import time
from contextlib import suppress

import pytest
from rich.console import Console

from winnow.bundle import quiet
from winnow.cli import _progress
from winnow.cli._progress import ProgressBars, ProgressLines, describe, display, shown_on
from winnow.execution import Event


def console(*, terminal: bool) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=120,
        color_system=None,
        legacy_windows=False,
    )


def text(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return shown.file.getvalue()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_all_that_is_known_is_said() -> None:
    event = Event(
        "search",
        3,
        64,
        best=0.97218,
        metric="accuracy",
        member_steps_per_second=12345.6,
        seconds_left=75.0,
    )

    assert describe(event) == "best accuracy 0.9722, 12,346 member-steps/s, 1 min 15 s left"
    assert describe(Event("search", 0, 64)) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2.34, "2.3 s"), (42.4, "42 s"), (3600.0, "1 h 0 min"), (119.7, "2 min 0 s")],
)
def test_times_read_well(seconds: float, words: str) -> None:
    assert describe(Event("search", 0, 64, seconds_left=seconds)) == f"{words} left"


def test_a_log_gets_a_line_when_a_stage_begins_and_ends_and_now_and_then() -> None:
    shown, clock = console(terminal=False), Clock()
    lines = ProgressLines(shown, clock=clock)

    for now, event in [
        (0.0, Event("search", 0, 4)),
        (1.0, Event("search", 1, 4)),
        (31.0, Event("search", 2, 4, best=0.5)),
        (40.0, Event("search", 4, 4, best=0.75)),
        (41.0, Event("evaluate", 0, 1)),
        (41.5, Event("evaluate", 1, 1)),
    ]:
        clock.now = now
        lines(event)
    lines.close()

    assert text(shown).splitlines() == [
        "searching ...",
        "  2 of 4 trained, best 0.5",
        "  4 of 4 trained, best 0.75, took 41 s",
        "evaluating ...",
        "  took 0.5 s",
    ]


def test_a_silent_stage_is_heard_of_every_fifteen_seconds() -> None:
    shown, clock = console(terminal=False), Clock()
    lines = ProgressLines(shown, clock=clock)
    lines.tick()  # nothing runs
    lines(Event("compress", 0, 1))
    for now in range(1, 50):
        clock.now = float(now)
        lines.tick()

    assert text(shown).splitlines() == [
        "compressing ...",
        "  still compressing, 15 s so far",
        "  still compressing, 30 s so far",
        "  still compressing, 45 s so far",
    ]


def test_compiling_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "compiling", lambda: True)
    shown, clock = console(terminal=False), Clock()
    lines = ProgressLines(shown, clock=clock)
    lines(Event("search", 3, 64))
    clock.now = 16.0
    lines.tick()
    on_terminal = console(terminal=True)
    with ProgressBars(on_terminal) as bars:
        bars(Event("search", 3, 64, best=0.5))

    assert text(shown).splitlines()[-1] == "  compiling, 3 of 64 trained, 16 s so far"
    assert "compiling" in text(on_terminal)


def test_a_log_is_told_by_a_thread_while_the_work_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_LINES", 0.1)
    shown = console(terminal=False)
    with shown_on(shown) as show:
        show(Event("compress", 0, 1))
        time.sleep(1.5)

    assert "still compressing" in text(shown)


def test_a_log_is_told_while_other_libraries_are_kept_quiet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_LINES", 0.1)
    with display() as show:
        show(Event("compress", 0, 1))
        with quiet():
            time.sleep(1.5)
            assert "still compressing" in capfd.readouterr().err


def test_a_stage_that_needed_less_than_expected_has_no_time_left() -> None:
    shown = console(terminal=False)
    lines = ProgressLines(shown, clock=Clock())
    lines(Event("search", 8, 14, best=0.5, seconds_left=2.1))
    lines.close()

    assert text(shown).splitlines()[-1] == "  8 of 8 trained, best 0.5, took 0.0 s"


def test_messages_are_shown_as_they_are() -> None:
    shown = console(terminal=False)

    ProgressLines(shown)(Event("train", 0, 0, message="[red] layer[0] cannot be stacked"))

    assert text(shown) == "note: [red] layer[0] cannot be stacked\n"


def test_a_terminal_gets_bars() -> None:
    shown = console(terminal=True)

    with ProgressBars(shown) as bars:
        bars(Event("search", 0, 4))
        bars(Event("search", 3, 4, best=0.9, message="[x] is slow"))
        bars(Event("compress", 0, 1))
        bars(Event("compress", 1, 1))

    for words in ("searching", "best 0.9", "compressing", "note [x] is slow", "✓"):
        assert words in text(shown)


def test_the_display_fits_the_place() -> None:
    with shown_on(console(terminal=False)) as lines:
        assert isinstance(lines, ProgressLines)
    with shown_on(console(terminal=True)) as bars:
        assert isinstance(bars, ProgressBars)


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is not signal.default_int_handler,
    reason="Ctrl-C is somebody else's here",
)
def test_a_ctrl_c_that_got_lost_ends_the_work_at_the_next_event() -> None:
    with display(console(terminal=False)) as tell:
        tell(Event("search", 0, 2))
        with suppress(KeyboardInterrupt):  # as compiled code does that called back
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            tell(Event("search", 1, 2))

    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
