"""What the driver remembers of one variant between epochs, and what it concludes from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from winnow.methods import BaseStopping, SeenEpoch
from winnow.recipe import Outcome, Train, Variant, better, metric_of

__all__ = ["EpochChoice", "Member", "MemberResult"]


@dataclass(frozen=True)
class MemberResult:
    """A member that has left its fleet: its outcome, and its best weights under the names of the
    user's module (None when it failed).
    """

    variant: Variant
    outcome: Outcome
    weights: dict[str, Tensor] | None


@dataclass
class EpochChoice:
    """The epoch that some rows choose, and when they stop: what training with these rows alone for
    validation would come to.

    Attributes:
        epoch: the best so far; -1 before the first.
        score, loss: that these rows had at it.
        state: of the rule by which training ends early, plain data.
        stopped: why it has ended, as ``code: text``; nothing is chosen any more. None: it goes on.
    """

    epoch: int = -1
    score: float = math.nan
    loss: float = math.inf
    state: dict[str, Any] = field(default_factory=dict)
    stopped: str | None = None

    @classmethod
    def before(cls, stopping: BaseStopping | None) -> EpochChoice:
        """Return the choice before the first epoch."""
        return cls() if stopping is None else cls(state=stopping.begin())

    def see(
        self,
        epoch: int,
        score: float,
        loss: float,
        *,
        metric: str,
        train_loss: float,
        num_epochs: int,
        stopping: BaseStopping | None,
    ) -> bool:
        """Count an epoch in; whether it is the best so far: a better score, or the same with a
        lower loss (accuracy has many ties).
        """
        if self.stopped is not None:
            return False
        tie = score == self.score or (math.isnan(score) and math.isnan(self.score))
        improved = self.epoch < 0 or (
            loss < self.loss if tie else better(metric, score, self.score)
        )
        if improved:
            self.epoch, self.score, self.loss = epoch, score, loss
        if stopping is not None:
            up = metric_of(metric).higher_is_better
            seen = SeenEpoch(epoch, num_epochs, score, loss, train_loss, improved, up)
            stop = stopping.see(seen, self.state)
            self.stopped = None if stop is None else f"{stop.code}: {stop.text}"
        return improved


@dataclass
class Member:
    """What the driver remembers of one variant between epochs.

    Of ``choices`` there is one for each part of the validation rows, then, if there are several
    parts, one for all rows: the last chooses the epoch whose weights are kept.
    """

    variant: Variant
    # Position in the fleet of the variant with whose training settings it trains: its own, until
    # one is copied
    settings_of: int
    train: Train  # those settings
    rates: NDArray[np.float64]  # the learning rate at every step of the training, (steps,)
    stopping: BaseStopping | None  # by which it ends early, of the same settings
    choices: list[EpochChoice]
    score: float = math.nan  # of all parts, each at the epoch that another one chose
    metrics: dict[str, float] = field(default_factory=dict)  # of the same
    digest: str | None = None  # of the outputs with the best weights
    curves: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    result: MemberResult | None = None

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain data, but the weights."""
        plain = {
            n: v
            for n, v in vars(self).items()
            if n not in ("variant", "train", "rates", "stopping", "choices", "result")
        }
        return {
            **plain,
            "choices": [dict(vars(c)) for c in self.choices],
            "outcome": None if self.result is None else self.result.outcome.to_dict(),
        }

    def take(self, facts: Mapping[str, Any], weights: dict[str, Tensor]) -> None:
        """Become what ``facts`` say, but for the settings; ``weights`` are its best ones if it
        has left.
        """
        for name, value in facts.items():
            if name not in ("choices", "outcome"):
                setattr(self, name, value)
        self.choices = [EpochChoice(**choice) for choice in facts["choices"]]
        if facts["outcome"] is not None:
            self.result = MemberResult(self.variant, Outcome(**facts["outcome"]), weights or None)

    def is_done(self, epoch: int) -> bool:
        """Return whether this epoch, which every choice has seen, is the last."""
        return epoch + 1 == self.train.epochs or all(
            choice.stopped is not None for choice in self.choices
        )

    def outcome(self, epoch: int, steps: int, fleet: str) -> Outcome:
        """Return the outcome of a member that leaves after ``epoch``, of ``steps`` each; ``fleet``
        says how it trained.
        """
        return Outcome(
            variant_id=self.variant.id,
            status="finished",
            score=self.score,
            metrics=self.metrics,
            curves=self.curves,
            best_epoch=self.choices[-1].epoch,
            epochs=epoch + 1,
            steps=(epoch + 1) * steps,
            seconds=self.seconds,
            fleet=fleet,
            predictions_digest=self.digest,
            stopped=self.choices[-1].stopped if epoch + 1 < self.train.epochs else None,
        )

    def failed(self, epoch: int, step: int, steps: int, fleet: str) -> MemberResult:
        """Return the result of a member whose loss was not finite at ``step`` of ``epoch``."""
        lr = self.rates[epoch * steps + step]
        reason = (
            f"diverged: the loss was not finite at step {step + 1} of epoch {epoch + 1} "
            f"(learning rate {lr:.3g}); "
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
        return MemberResult(self.variant, outcome, None)
