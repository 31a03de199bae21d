"""The contract of learning-rate schedules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from winnow.methods import SGD, BaseSchedule
from winnow.testing._contract import (
    calling,
    differing_members,
    expect,
    expect_family,
    others,
)
from winnow.testing._fleets import check_fleet

__all__ = ["check_schedule"]

_FEW = 3
_STEPS = (1, 2, 3, 7, 100)  # in a training


def check_schedule(schedule: BaseSchedule) -> None:
    """Check that a schedule keeps the contract of ``BaseSchedule``.

    It gives a finite factor that is not negative for each step, however many there are, the same
    each time it is asked, and not zero everywhere; each setting has an effect. A tiny model is
    trained, as a fleet and alone, in double precision.

    Args:
        schedule: with its settings.

    Raises:
        AssertionError: it does not, with a sentence that says in what.

    Example:
        >>> from winnow.methods import Cosine
        >>> check_schedule(Cosine(warmup=0.1))
    """
    name = expect_family(schedule, BaseSchedule)
    courses = [_factors(name, schedule, num_steps) for num_steps in _STEPS]
    for setting, other in others(schedule).items():
        changed = [_factors(name, other, num_steps) for num_steps in _STEPS]
        is_same = all(np.array_equal(a, b) for a, b in zip(courses, changed, strict=True))
        expect(not is_same, f"{name}: its setting {setting!r} has no effect on the factors")
    members = differing_members(schedule)
    check_fleet(name, [{"schedule": member, "optimizer": SGD(lr=0.05)} for member in members])


def _factors(name: str, schedule: BaseSchedule, num_steps: int) -> NDArray[np.float64]:
    what = f"{name}: factors({num_steps})"
    with calling(what):
        factors = np.asarray(schedule.factors(num_steps))
        again = np.asarray(schedule.factors(num_steps))
    expect(
        factors.shape == (num_steps,),
        f"{what} is of shape {factors.shape}, and must be of shape ({num_steps},)",
    )
    expect(bool(np.isfinite(factors).all()), f"{what} is not finite everywhere")
    expect(bool((factors >= 0).all()), f"{what} is below 0 at a step, which would climb the loss")
    some = num_steps < _FEW or bool(factors.any())  # a course down to 0 may begin with its end
    expect(some, f"{what} is 0 at every step, so nothing would be trained")
    expect(
        np.array_equal(factors, again),
        f"{what} is another at the second call, and must follow from the number of steps alone",
    )
    return factors
