"""The contract of rules for stopping a training early."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from winnow.methods import BaseStopping, SeenEpoch, Stop
from winnow.testing._contract import calling, differing_members, expect, expect_family
from winnow.testing._fleets import check_fleet

__all__ = ["check_stopping"]

_EPOCHS = 40
_COURSES = 6  # of random numbers, beside the even ones


def check_stopping(stopping: BaseStopping) -> None:
    """Check that a rule for stopping keeps the contract of ``BaseStopping``.

    It answers None or a ``Stop`` with a reason; its state is plain data, all that it remembers, and
    its own for each course that it watches; it takes scores that have no value; it ends some
    course and not every one at the first epoch, none before ``fewest_epochs``. A tiny model is
    trained, as a fleet and alone, in double precision.

    Args:
        stopping: with settings at which it ends a training of 40 epochs in which the score falls
            and the loss rises.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import Patience
        >>> check_stopping(Patience(patience=3))
    """
    name = expect_family(stopping, BaseStopping)
    with calling(f"{name}: see"):
        ends = [_end(name, stopping, course) for course in _courses()]
    _check_ends(name, stopping, ends)
    with calling(f"{name}: see"):
        for course in _courses():
            _check_state(name, stopping, course)
    members = differing_members(stopping)
    check_fleet(name, [{"early_stopping": member} for member in members])


Course = list[SeenEpoch]


def _courses() -> Iterator[Course]:
    """Courses that fall, rise, wander, and have no scores."""
    falling = np.linspace(1.0, 0.5, _EPOCHS)
    yield _course(falling, 2 - falling)
    yield _course(1.5 - falling, falling)
    yield _course(np.full(_EPOCHS, math.nan), 2 - falling)
    for seed in range(_COURSES):
        rng = np.random.default_rng(seed)
        yield _course(rng.uniform(0.5, 1.0, _EPOCHS), rng.uniform(0.5, 2.0, _EPOCHS))


def _course(scores: Any, losses: Any) -> Course:
    """Epochs with such scores, of which higher ones are better, and losses."""
    best = -math.inf
    course = []
    for epoch, (score, loss) in enumerate(zip(scores.tolist(), losses.tolist(), strict=True)):
        is_best = epoch == 0 or score > best
        best = max(best, score) if not math.isnan(score) else best
        course.append(SeenEpoch(epoch, _EPOCHS, score, loss, loss / 2, is_best, True))
    return course


def _end(name: str, stopping: BaseStopping, course: Course) -> int:
    """After how many epochs a course ends."""
    state = stopping.begin()
    for seen in course:
        stop = stopping.see(seen, state)
        expect(
            stop is None or isinstance(stop, Stop),
            f"{name}: see must return a Stop or None, got {stop!r}",
        )
        if stop is not None:
            is_told = bool(stop.code) and bool(stop.text)
            expect(is_told, f"{name}: a Stop has a code and a text, got {stop!r}")
            return seen.epoch + 1
    return _EPOCHS + 1


def _check_ends(name: str, stopping: BaseStopping, ends: list[int]) -> None:
    expect(
        min(ends) <= _EPOCHS,
        f"{name}: it ends no training of {_EPOCHS} epochs, so it has no effect",
    )
    expect(max(ends) > 1, f"{name}: it ends every training after its first epoch")
    with calling(f"{name}: fewest_epochs"):
        fewest = stopping.fewest_epochs(_EPOCHS)
    expect(
        min(ends) >= fewest,
        f"{name}: it ends a training after {min(ends)} epochs, and fewest_epochs says {fewest}",
    )


def _check_state(name: str, stopping: BaseStopping, course: Course) -> None:
    """Ask with a state that went through JSON each time, and beside another course."""
    expected = _answers(stopping, course)
    state, other = stopping.begin(), stopping.begin()
    for seen, answer in zip(course, expected, strict=True):
        try:
            read = json.loads(json.dumps(state))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{name}: its state is no plain data: {error}") from error
        expect(
            json.dumps(read, sort_keys=True) == json.dumps(state, sort_keys=True),
            f"{name}: its state comes back from JSON as another one",
        )
        stopping.see(SeenEpoch(seen.epoch, _EPOCHS, -seen.score, 1.0, 1.0, True, True), other)
        # Another object with the same settings, as after a checkpoint
        found = copy.deepcopy(stopping).see(seen, read)
        expect(
            found == answer,
            f"{name}: from its state alone it goes on differently, so the state does not hold all "
            f"that it remembers",
        )
        state = read


def _answers(stopping: BaseStopping, course: Course) -> list[Stop | None]:
    state = stopping.begin()
    return [stopping.see(seen, state) for seen in course]
