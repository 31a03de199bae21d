"""What the driver remembers of one variant between epochs, and what it concludes from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from winnow.recipe import HIGHER_IS_BETTER, Outcome, Train, Variant

__all__ = ["Finished", "Member"]


@dataclass(frozen=True)
class Finished:
    """A member that has left its fleet: its outcome, and its best weights under the names of the user's module (None when it
    failed).
    """

    variant: Variant
    outcome: Outcome
    weights: dict[str, Tensor] | None


@dataclass
class Member:
    """What the driver remembers of one variant between epochs."""

    variant: Variant
    settings_of: int  # position in the fleet of the variant with whose training settings it trains: its own, until one is copied
    train: Train  # those settings
    rates: NDArray[np.float64]  # the learning rate at every step of the training, (steps,)
    score: float = math.nan  # of the best weights
    tie_break: float = math.inf  # validation loss of the best weights
    reference: float = math.nan  # the score that patience counts from
    waited: int = 0
    best_epoch: int = -1
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    result: Finished | None = None

    def facts(self) -> dict[str, Any]:
        """All of it as plain data, but the weights."""
        plain = {n: v for n, v in vars(self).items() if n not in ("variant", "train", "rates", "result")}
        return {**plain, "outcome": None if self.result is None else self.result.outcome.to_dict()}

    def take(self, facts: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        """Become what ``facts`` say, but for the settings; ``weights`` are its best ones if it has left."""
        for name, value in facts.items():
            if name != "outcome":
                setattr(self, name, value)
        if facts["outcome"] is not None:
            self.result = Finished(self.variant, Outcome(**facts["outcome"]), weights or None)

    def improves(self, metrics: dict[str, float]) -> bool:
        """Whether these weights are the member's best: a better score, or the same score with a lower loss (accuracy has many
        ties).
        """
        score = metrics[self.variant.metric]
        if math.isnan(self.score):
            return True
        if score == self.score:
            return metrics["loss"] < self.tie_break
        return (score > self.score) == HIGHER_IS_BETTER[self.variant.metric]

    def should_leave(self, epoch: int, score: float) -> bool:
        """Whether this epoch, which gave ``score``, is the last; counts patience."""
        if epoch + 1 == self.train.epochs:
            return True
        stopping = self.train.early_stopping
        if stopping is None:
            return False
        gain = score - self.reference if HIGHER_IS_BETTER[self.variant.metric] else self.reference - score
        if math.isnan(self.reference) or gain > float(stopping.min_delta):
            self.reference, self.waited = score, 0
        else:
            self.waited += 1
        return self.waited >= int(stopping.patience)

    def outcome(self, epoch: int, steps: int, fleet: str) -> Outcome:
        """Of a member that leaves after ``epoch``, of ``steps`` each; ``fleet`` says how it trained."""
        return Outcome(
            variant_id=self.variant.id,
            status="finished",
            score=self.score,
            metrics=self.metrics,
            curves=self.curves,
            best_epoch=self.best_epoch,
            epochs=epoch + 1,
            steps=(epoch + 1) * steps,
            seconds=self.seconds,
            fleet=fleet,
        )

    def failed(self, epoch: int, step: int, steps: int, fleet: str) -> Finished:
        """Of a member whose loss was not finite at ``step`` of ``epoch``."""
        lr = self.rates[epoch * steps + step]
        reason = (
            f"diverged: the loss was not finite at step {step + 1} of epoch {epoch + 1} (learning rate {lr:.3g}); "
            "lower the learning rate or clip gradients with train.clip_norm"
        )
        outcome = Outcome(
            variant_id=self.variant.id,
            status="failed",
            reason=reason,
            curves=self.curves,
            epochs=epoch + 1,
            steps=(epoch + 1) * steps,
            seconds=self.seconds,
            fleet=fleet,
        )
        return Finished(self.variant, outcome, None)
