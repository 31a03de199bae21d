"""What trainings take, learned from those before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from winnow.recipe import Outcome, Variant

__all__ = ["TrainingCost"]

SAFETY = 1.25  # what is planned must fit with so much to spare
# Of the time of the last trainings that even a few like them are taken to need: starting and
# compiling take as long for two variants as for twenty.
SMALLEST_SHARE = 0.3
UNKNOWN = 1e-9  # seconds of a training of which nothing is known: anything fits while time is left


@dataclass(frozen=True)
class Measured:
    """The last trainings that were new: their seconds in all, their number, their epochs."""

    seconds: float
    trainings: int
    epochs: float


class TrainingCost:
    """Estimates how many seconds trainings will take.

    Attributes:
        prior: seconds of one training, before any was measured; None: not known.
    """

    def __init__(self) -> None:
        self.prior: float | None = None
        self._last: Measured | None = None
        # Share of their epochs after which variants with early stopping have stopped
        self._stopping_share = 1.0

    @property
    def seconds_each(self) -> float | None:
        """About what one training takes; None: not known."""
        if self._last is None:
            return self.prior
        return self._last.seconds / self._last.trainings

    def estimate(self, variants: Sequence[Variant], more: int = 0) -> float:
        """Return about how many seconds some trainings take, with some to spare.

        Args:
            variants: that train anew.
            more: further trainings, of which nothing else is known.

        Returns:
            Seconds; 0 for no trainings.
        """
        number = len(variants) + more
        if not number:
            return 0.0
        if self._last is None:
            return SAFETY * number * (self.prior or UNKNOWN)
        last = self._last
        known_epochs = sum(self._epochs(variant) for variant in variants)
        share = (known_epochs + more * last.epochs / last.trainings) / last.epochs
        if share < 1:
            share = SMALLEST_SHARE + (1 - SMALLEST_SHARE) * share
        return SAFETY * last.seconds * share

    def learn(
        self, variants: Sequence[Variant], outcomes: Mapping[str, Outcome], seconds: float
    ) -> None:
        """Take in what some trainings took.

        Args:
            variants: that were trained anew.
            outcomes: of these, by their ids.
            seconds: that they took together.
        """
        if not variants:
            return
        self._learn_stopping(variants, outcomes)
        epochs = sum(self._epochs(variant) for variant in variants)
        # Floors, because a clock may stand still and both stand below a division later.
        self._last = Measured(max(seconds, 1e-3), len(variants), max(epochs, 1.0))

    def _learn_stopping(self, variants: Sequence[Variant], outcomes: Mapping[str, Outcome]) -> None:
        stopping = [
            variant
            for variant in variants
            if variant.train.early_stopping is not None and outcomes[variant.id].finished
        ]
        if stopping:
            trained = sum(outcomes[variant.id].epochs for variant in stopping)
            asked = sum(variant.train.epochs for variant in stopping)
            self._stopping_share = trained / asked

    def _epochs(self, variant: Variant) -> float:
        """Return about how many epochs a variant trains for."""
        share = 1.0 if variant.train.early_stopping is None else self._stopping_share
        return variant.train.epochs * share
