"""No schedule at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winnow.methods.schedules._base import BaseSchedule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Constant"]


class Constant(BaseSchedule):
    """The same learning rate at every step."""

    kind: Literal["constant"] = "constant"

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return 1 at each of ``num_steps`` steps, (steps,)."""
        import numpy as np

        return np.ones(num_steps)
