"""The contract of learning-rate schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from winnow.methods._method import BaseMethod

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["BaseSchedule"]


class BaseSchedule(BaseMethod):
    """The whole course of one member's learning rate, as factors of its ``lr``.

    A schedule is a function of the number of steps alone, so its settings may always differ within
    a fleet, and a training that is stopped and goes on sees the same rates.

    Example:
        >>> class Linear(BaseSchedule):
        ...     def factors(self, num_steps):
        ...         return np.linspace(1.0, 0.0, num_steps)
    """

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return the factor at each of ``num_steps`` steps, (steps,)."""
        raise NotImplementedError("a schedule defines factors")
