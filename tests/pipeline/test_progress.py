"""Progress of stages from that of batches, by hand arithmetic."""

from __future__ import annotations

import pytest

from winnow.execution import Event
from winnow.pipeline._progress import StageProgress

from .conftest import Told


class Clock:
    """Says what it is set to, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_batches_add_up_to_the_stage(told: Told) -> None:
    progress = StageProgress(told, metric="accuracy", expected={"search": 40}, clock=Clock())

    for done, total in [(0, 16), (16, 16), (0, 16), (16, 16), (8, 8)]:
        progress(Event("search", done, total))

    assert [(e.done, e.total) for e in told.events] == [
        (0, 40),
        (16, 40),
        (16, 40),
        (32, 40),
        (40, 40),
    ]


def test_a_stage_may_turn_out_longer_than_expected(told: Told) -> None:
    progress = StageProgress(told, metric="accuracy", expected={"ablate": 4}, clock=Clock())

    for done, total in [(4, 4), (0, 2), (2, 2)]:
        progress(Event("ablate", done, total))

    assert [(e.done, e.total) for e in told.events] == [(4, 4), (4, 6), (6, 6)]


@pytest.mark.parametrize(
    ("metric", "expected"), [("accuracy", [0.5, 0.9, 0.9]), ("rmse", [0.5, 0.5, 0.4])]
)
def test_the_best_is_that_of_the_stage(told: Told, metric: str, expected: list[float]) -> None:
    progress = StageProgress(told, metric=metric, expected={}, clock=Clock())

    for best in (0.5, 0.9, 0.4):
        progress(Event("search", 1, 1, best=best))

    assert [e.best for e in told.events] == expected


def test_the_next_stage_begins_anew(told: Told) -> None:
    progress = StageProgress(told, metric="accuracy", expected={}, clock=Clock())

    progress(Event("search", 2, 2, best=0.9))
    progress(Event("ablate", 0, 3))

    assert (told.events[-1].done, told.events[-1].total, told.events[-1].best) == (0, 3, None)


def test_the_time_left_covers_later_batches(told: Told) -> None:
    clock = Clock()
    progress = StageProgress(told, metric="accuracy", expected={"search": 30}, clock=clock)

    progress(Event("search", 2, 12))  # two of the batch were in the ledger: ten are trained
    clock.now = 4.0
    # So ten take ten seconds, and 18 more take 18
    progress(Event("search", 2, 12, seconds_left=6.0))

    assert told.events[0].seconds_left is None
    assert told.events[1].seconds_left == pytest.approx(6.0 + 18.0)


def test_nothing_is_said_about_the_time_left_before_it_can_be_known() -> None:
    told, clock = Told(), Clock()
    progress = StageProgress(told, metric="accuracy", expected={"search": 10}, clock=clock)

    for now, left in [(0.0, None), (1.0, 2.0), (4.0, 400.0), (50.0, 300.0), (200.0, 150.0)]:
        clock.now = now
        progress(Event("search", 0, 10, seconds_left=left))

    # none after a second, none while 4 of 404 s have passed, then what is known
    assert [e.seconds_left for e in told.events] == [None, None, None, 300.0, 150.0]
