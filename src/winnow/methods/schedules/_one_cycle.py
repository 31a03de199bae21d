"""One rise and one fall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winnow.methods.schedules._base import BaseSchedule
from winnow.spec import Above0To1, Fraction, Inside, Open

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OneCycle"]


class OneCycle(BaseSchedule):
    """Up to ``lr`` over ``warmup`` of the training and down again, both along cosines (``torch``'s
    OneCycleLR).

    It starts at ``lr * start`` and ends at ``lr * start * final``. Momentum is not cycled.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: Open[Inside] = 0.3
    start: Open[Above0To1] = 0.04
    final: Open[Fraction] = 1e-4

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return the factor at each of ``num_steps`` steps, (steps,).

        Source: Smith & Topin 2018, in the variant of ``torch``'s OneCycleLR (two phases, cosine
        annealing).
        """
        import numpy as np

        lowest = self.start * self.final
        if num_steps < 2:
            return np.full(num_steps, self.start)
        peak, last = self.warmup * num_steps - 1, num_steps - 1
        t = np.arange(num_steps, dtype=np.float64)
        if peak <= 0:  # the rise is shorter than a step
            return _between(1.0, lowest, t / last)
        up = _between(self.start, 1.0, np.clip(t / peak, 0, 1))
        down = _between(1.0, lowest, np.clip((t - peak) / (last - peak), 0, 1))
        return np.where(t <= peak, up, down)


def _between(a: float, b: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from ``a`` to ``b`` along half a cosine."""
    import numpy as np

    return b + (a - b) / 2 * (1 + np.cos(np.pi * share))
