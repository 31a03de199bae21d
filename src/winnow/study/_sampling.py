"""The proposals of a search: those of a sampler, without repeats, and with what it is told."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.errors import Problem, RecipeError
from winnow.methods import BaseSampler, TriedSettings
from winnow.recipe import Choice, Integer, OpenSetting, Range, derive_seed

__all__ = ["Proposal", "Proposer", "finite_space"]

TRIES = 20  # questions to the sampler before a finite space is looked through for what is left
LARGEST_LISTED = 10_000  # settings of a finite space; a larger one is not used up by a study


@dataclass(frozen=True)
class Proposal:
    """Settings to try.

    Attributes:
        number: from 0, in the order in which they were proposed.
        values: by dotted path, in the order of the recipe.
    """

    number: int
    values: dict[str, Any]


class Proposer:
    """A sampler over the open settings of a recipe.

    The same arguments and the same scores give the same proposals. No settings are proposed twice,
    except in a space that is finite only in places.

    Args:
        ranges: ``recipe.ranges()``.
        sampler: proposes.
        seed: of everything random here.
        higher_is_better: which way the score goes.
    """

    def __init__(
        self,
        ranges: Mapping[str, OpenSetting],
        *,
        sampler: BaseSampler,
        seed: int,
        higher_is_better: bool,
    ) -> None:
        self._ranges = dict(ranges)
        self._sampler = sampler
        self._seed = seed
        self._sign = 1 if higher_is_better else -1
        self._listed = finite_space(self._ranges)
        self._seen: set[str] = set()
        self._drawn = 0
        self._proposals: list[Proposal] = []
        self._scores: dict[int, float] = {}

    @property
    def is_used_up(self) -> bool:
        """Whether all settings of a finite space have been proposed."""
        return self._listed is not None and len(self._listed) == len(self._seen)

    def propose(self, n: int) -> list[Proposal]:
        """Return up to ``n`` proposals.

        They are fewer when every setting of a finite space has been proposed, or when the sampler
        has no more.

        Raises:
            RecipeError: the sampler fails.
        """
        first = len(self._proposals)
        if self._listed is not None:
            n = min(n, len(self._listed) - len(self._seen))
        wanted = first + n
        for _ in range(TRIES):
            missing = wanted - len(self._proposals)
            if not missing:
                return self._proposals[first:]
            drawn = self._ask(missing)
            for values in drawn:
                if _key(values) not in self._seen:
                    self._add(values)
            if len(drawn) < missing:  # the sampler has no more
                return self._proposals[first:]
        for values in self._rest(wanted - len(self._proposals)):
            self._add(values)
        return self._proposals[first:]

    def learn(self, scores: Mapping[int, float]) -> None:
        """Take in scores by the proposals' numbers; NaN or an infinity says that the training
        failed.
        """
        self._scores |= scores

    def _ask(self, n: int) -> list[dict[str, Any]]:
        """Return the next ``n`` proposals of the sampler, or fewer when it has no more."""
        # In their own order, since which of a batch ends first is no fact about the settings.
        tried = tuple(
            TriedSettings(dict(self._proposals[number].values), self._sign * score)
            for number, score in sorted(self._scores.items())
        )
        try:
            drawn = self._sampler.propose(
                n, space=dict(self._ranges), tried=tried, seed=self._seed, start=self._drawn
            )
            proposed = [dict(values) for values in drawn][:n]
        except Exception as error:  # a sampler of the user's may raise anything
            name, what = type(self._sampler).__name__, f"{type(error).__name__}: {error}"
            problem = Problem("search.sampler", f"{name} failed: {what}")
            raise RecipeError(problem) from error
        self._drawn += len(proposed)
        return [
            {path: values[path] for path in [*self._ranges, *values] if path in values}
            for values in proposed
        ]

    def _add(self, values: dict[str, Any]) -> None:
        self._seen.add(_key(values))
        self._proposals.append(Proposal(len(self._proposals), values))

    def _rest(self, n: int) -> list[dict[str, Any]]:
        """Return ``n`` settings at random of what is left of a finite space; else repeats."""
        if self._listed is None:
            return self._ask(n)
        named = [_named(self._ranges, point) for point in self._listed]
        untried = [values for values in named if _key(values) not in self._seen]
        rng = random.Random(derive_seed(self._seed, "rest", self._drawn))
        return rng.sample(untried, n)


def finite_space(
    ranges: Mapping[str, OpenSetting], *, limit: int = LARGEST_LISTED
) -> list[dict[str, int]] | None:
    """Return all distinct settings of a space of choices and integers.

    Args:
        ranges: ``recipe.ranges()``.
        limit: the most settings that are listed.

    Returns:
        Of each, the position of its option (of an integer, the number) by dotted path; None when
        there are more than ``limit``, or a range is continuous.
    """
    points: list[dict[str, int]] = [{}]
    for path, setting in ranges.items():
        longer: list[dict[str, int]] = []
        for point in points:
            if not setting.applies(_named(ranges, point)):
                longer.append(point)
                continue
            options = _positions(setting.range)
            if options is None or len(longer) + len(options) > limit:
                return None
            longer.extend({**point, path: option} for option in options)
        points = longer
    return points


def _positions(over: Range) -> Sequence[int] | None:
    """Return the positions of a range's options; None where it is continuous."""
    if isinstance(over, Choice):
        return range(len(over.labels))
    if isinstance(over, Integer):
        return range(over.low, over.high + 1)
    return None


def _named(ranges: Mapping[str, OpenSetting], point: Mapping[str, int]) -> dict[str, Any]:
    """Return settings as a recipe spells them, from the positions of their options."""
    named: dict[str, Any] = {}
    for path, position in point.items():
        over = ranges[path].range
        named[path] = over.labels[position] if isinstance(over, Choice) else position
    return named


def _key(values: Mapping[str, Any]) -> str:
    """Return a text that is the same for the same settings, whatever their order."""
    return repr(sorted((path, repr(value)) for path, value in values.items()))
