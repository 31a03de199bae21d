"""What a study may ask for when time is short: whoever knows the clock chooses among versions
of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from winnow.recipe import Variant

__all__ = ["LEADERS", "Allowance", "Option", "is_about_trials", "steps", "trials_after"]

# Questions of a search, as ``choose`` is asked them
LEADERS = "search: leaders"
_TRIALS = "search: trials after "


def trials_after(done: int) -> str:
    """Return the question how many trials may follow ``done`` of them."""
    return f"{_TRIALS}{done}"


def is_about_trials(question: str) -> bool:
    """Return whether a question is one of ``trials_after``."""
    return question.startswith(_TRIALS)


@dataclass(frozen=True)
class Option:
    """One version of a question.

    Attributes:
        text: what it is, in words, as in ``5 final seeds``.
        variants: that it asks for.
        more: further trainings that it asks for, or that must still be possible after it, which
            have no name yet.
    """

    text: str
    variants: Sequence[Variant] = ()
    more: int = 0


class Allowance(Protocol):
    """Chooses what there is time for.

    The same question with the same options is always given the same answer, also by a later
    process: or a run that goes on where it was would ask for other trainings.
    """

    def choose(self, question: str, options: Sequence[Option], *, of: str | None = None) -> int:
        """Return the position of the first of ``options`` that fits the time; of the last one where
        none does.

        Args:
            question: names it.
            options: from the most to the least.
            of: all that was asked for, in words, where the first option is only a piece of it.
        """


def steps(most: int, least: int) -> list[int]:
    """Return some whole numbers from ``most`` down to ``least``, at most 17.

    They are sixteenths of ``most``: more options would take longer to weigh up than they are worth.
    """
    sixteenths = [most * k // 16 for k in range(1, 17)]
    in_range = [n for n in sixteenths if n >= least]
    return sorted({most, least, *in_range}, reverse=True)
