"""Stopping by the generalization loss."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from winnow.methods.stopping._base import BaseStopping, SeenEpoch, Stop
from winnow.spec import Open, Positive

__all__ = ["GeneralizationLoss"]


class GeneralizationLoss(BaseStopping):
    """Stop a member as soon as its validation loss lies more than ``alpha`` percent above its
    lowest one so far.

    A noisy loss ends a training early: then patience is the better rule.
    """

    phrase: ClassVar[str] = "at a loss {alpha} % above the lowest"

    kind: Literal["generalization_loss"] = "generalization_loss"
    alpha: Open[Positive] = 5.0

    def begin(self) -> dict[str, Any]:
        """Return the lowest loss so far."""
        return {"lowest": math.inf}

    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        """Compare the loss with the lowest one so far, this epoch's included.

        Source: Prechelt 1998, "Early Stopping - But When?", criterion GL: stop after the first
        epoch with ``100 * (loss / lowest - 1) > alpha``.
        """
        state["lowest"] = min(state["lowest"], seen.loss)
        # Not as a quotient: the lowest loss may be 0
        if seen.loss <= state["lowest"] * (1 + float(self.alpha) / 100):
            return None
        text = f"a loss of {seen.loss:.3g}, and the lowest was {state['lowest']:.3g}"
        return Stop("generalization_loss", text)

    def fewest_epochs(self, num_epochs: int) -> int:
        """Return 2: the first loss is the lowest so far."""
        return min(num_epochs, 2)
