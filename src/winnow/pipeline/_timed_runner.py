"""A runner that keeps to the minutes of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from winnow.execution import Event, Runner, Workspace
from winnow.pipeline._budget import Budget
from winnow.recipe import Outcome, Variant

__all__ = ["TimedRunner"]


class TimedRunner(Runner):
    """A runner that ends when the time of its stage is over; without a budget it is a runner.

    Attributes:
        budget: what there is time for; None: no limit.
    """

    budget: Budget | None = None

    def __init__(self, workspace: Workspace, *, progress: Callable[[Event], None]) -> None:
        def tell(event: Event) -> None:
            progress(event)
            if self.budget is not None:
                self.budget.check(event)

        super().__init__(workspace, progress=tell)

    def train(
        self,
        variants: Sequence[Variant],
        *,
        keep_weights: bool = False,
        study: str = "train",
        ahead: int = 0,
    ) -> list[Outcome]:
        """Train as ``Runner.train`` does, within the time of the stage."""
        if self.budget is None:
            return super().train(variants, keep_weights=keep_weights, study=study, ahead=ahead)
        holds = self.budget.holds()
        if holds is not None:
            # Compiling pays over trainings to come, so those that time cannot hold do not count.
            ahead = max(min(ahead, holds - len(variants)), 0)
        train_untimed = super().train

        def train(asked: list[Variant]) -> list[Outcome]:
            return train_untimed(asked, keep_weights=keep_weights, study=study, ahead=ahead)

        return self.budget.train(variants, train, with_weights=keep_weights)
