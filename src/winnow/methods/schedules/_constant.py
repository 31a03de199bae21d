"""No schedule at all."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from winnow.methods.schedules._base import BaseSchedule

__all__ = ["Constant"]


class Constant(BaseSchedule):
    """The same learning rate at every step."""

    kind: Literal["constant"] = "constant"

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return 1 at each of ``num_steps`` steps, (steps,)."""
        return np.ones(num_steps)
