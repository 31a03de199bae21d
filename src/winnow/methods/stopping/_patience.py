"""Patience."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from winnow.methods.stopping._base import BaseStopping, SeenEpoch, Stop
from winnow.spec import Count, NonNegative, Open

__all__ = ["Patience"]


class Patience(BaseStopping):
    """Stop a member when its score has not improved by more than ``min_delta`` for ``patience``
    epochs.
    """

    phrase: ClassVar[str] = "after {patience} epochs without progress"

    kind: Literal["patience"] = "patience"
    patience: Open[Count] = 10
    min_delta: Open[NonNegative] = 0.0

    def begin(self) -> dict[str, Any]:
        """Return the score that patience counts from, and the epochs since."""
        return {"reference": math.nan, "waited": 0}

    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        """Count the epochs without progress; stop at ``patience`` of them.

        Progress is measured from the last epoch that made some, so that many small steps count
        once they add up to more than ``min_delta``.

        Source: Prechelt 1998, "Early Stopping - But When?", criterion UP, with a score in the place
        of the loss and a smallest gain.
        """
        gain = seen.score - state["reference"]
        gain = gain if seen.higher_is_better else -gain
        if math.isnan(state["reference"]) or gain > float(self.min_delta):
            state["reference"], state["waited"] = seen.score, 0
        else:
            state["waited"] += 1
        if state["waited"] < int(self.patience):
            return None
        return Stop("patience", f"no progress in {state['waited']} epochs")

    def fewest_epochs(self, num_epochs: int) -> int:
        """Return its patience and one: the first epoch is always progress."""
        return min(num_epochs, int(self.patience) + 1)
