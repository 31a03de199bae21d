"""A staircase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winnow.methods.schedules._base import BaseSchedule
from winnow.spec import Above0To1, Inside, Open

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Step"]


class Step(BaseSchedule):
    """The rate is multiplied by ``gamma`` each time another ``every`` of the training is over."""

    kind: Literal["step"] = "step"
    every: Open[Inside] = 1 / 3
    gamma: Open[Above0To1] = 0.1

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return the factor at each of ``num_steps`` steps, (steps,).

        Source: ``torch.optim.lr_scheduler.StepLR``, its ``step_size`` being ``every`` of the steps,
        rounded, and at least one.
        """
        import numpy as np

        step_size = max(1, round(self.every * num_steps))
        return self.gamma ** (np.arange(num_steps) // step_size).astype(np.float64)
