"""A warm-up and half a cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from winnow.methods.schedules._base import BaseSchedule
from winnow.spec import BelowOne, Fraction, Open

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Cosine"]


class Cosine(BaseSchedule):
    """From ``lr`` to ``final * lr`` along half a cosine over the whole training, after
    ``warmup`` of it rising linearly.
    """

    kind: Literal["cosine"] = "cosine"
    warmup: Open[BelowOne] = 0.0
    final: Open[Fraction] = 0.0

    def factors(self, num_steps: int) -> NDArray[np.float64]:
        """Return the factor at each of ``num_steps`` steps, (steps,).

        Source: Loshchilov & Hutter 2017, equation 5 without restarts; without warm-up equal to
        ``torch``'s CosineAnnealingLR(T_max=num_steps).
        """
        import numpy as np

        rise = round(self.warmup * num_steps)
        t = np.arange(num_steps)
        share = (t - rise) / max(num_steps - rise, 1)
        down = self.final + (1 - self.final) * (1 + np.cos(np.pi * share)) / 2
        return np.where(t < rise, (t + 1) / (rise + 1), down)
