"""The contract of rules for stopping a training early."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.methods._method import BaseMethod

__all__ = ["BaseStopping", "SeenEpoch", "Stop"]


@dataclass(frozen=True)
class SeenEpoch:
    """What an epoch came to, on some validation rows.

    Attributes:
        epoch: its number, from 0.
        num_epochs: of the whole training.
        score: the metric on these rows; NaN where it has no value.
        loss: the loss on these rows, finite.
        train_loss: mean of the training loss over the epoch's steps.
        is_best: whether it is the best epoch of these rows so far: of a better score, or of the
            same score and a lower loss.
        higher_is_better: whether a higher score is the better one.
    """

    epoch: int
    num_epochs: int
    score: float
    loss: float
    train_loss: float
    is_best: bool
    higher_is_better: bool


@dataclass(frozen=True)
class Stop:
    """That a training ends, and why.

    Attributes:
        code: of the reason, one word for programs.
        text: of the reason, for people, without a full stop.
    """

    code: str
    text: str


class BaseStopping(BaseMethod):
    """A rule by which a training ends before its last epoch.

    It is asked after each epoch. The two halves of the validation rows and all of them are watched
    one by one, each with a state of its own, and a member leaves when the rule has ended all three
    (see ``docs/decisions/epochs-by-cross-fitting.md``). Settings may always differ within a fleet.

    Class attributes:
        phrase: how it is told in a list of parts, with the names of settings in braces: ``after
            {patience} epochs without progress``; empty: by its name.

    Example:
        >>> class Reached(BaseStopping):
        ...     loss: float = 0.1
        ...
        ...     def see(self, seen, state):
        ...         return Stop("reached", "the loss is low") if seen.loss <= self.loss else None
    """

    phrase: ClassVar[str] = ""

    def begin(self) -> dict[str, Any]:
        """Return the state before the first epoch: plain data, which JSON gives back as it was."""
        return {}

    def see(self, seen: SeenEpoch, state: dict[str, Any]) -> Stop | None:
        """Return why the training ends after this epoch; None: it goes on.

        Args:
            seen: the epoch.
            state: of these rows; changed. What is not in it is not there after a checkpoint.
        """
        raise NotImplementedError("a rule for stopping defines see")

    def fewest_epochs(self, num_epochs: int) -> int:
        """Return after how many epochs of ``num_epochs`` a training ends at the earliest; estimates
        of time begin with it.
        """
        return 1
