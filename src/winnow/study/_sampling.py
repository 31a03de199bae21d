"""Optuna's samplers behind one small door: propose settings that were not tried, learn from scores.

This is the only file that knows Optuna. What it is given and what it gives are the recipe's own
words: dotted paths and values.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from winnow.recipe import Choice, Integer, Log, OpenSetting, Range

__all__ = ["Proposal", "Proposer", "finite_space"]

TRIES = 20  # draws from the sampler before a finite space is looked through for what is left of it
LARGEST_LISTED = 10_000  # settings of a finite space; a larger one is not used up by a study


@dataclass(frozen=True)
class Proposal:
    """Settings to try: ``values`` by dotted path, in the order of the recipe."""

    number: int
    values: dict[str, Any]


class Proposer:
    """A sampler over the open settings of a recipe.

    The same arguments and the same scores give the same proposals. No settings are proposed twice,
    except in a space that is finite only in places.

    Args:
        ranges: ``recipe.ranges()``.
        sampler: ``tpe`` or ``random``.
        seed: of everything random here.
        higher_is_better: which way the score goes.
    """

    def __init__(
        self,
        ranges: Mapping[str, OpenSetting],
        *,
        sampler: Literal["tpe", "random"],
        seed: int,
        higher_is_better: bool,
    ) -> None:
        self._ranges = dict(ranges)
        self._random = random.Random(seed)
        self._listed = finite_space(self._ranges)
        self._seen: set[str] = set()
        self._trials: list[optuna.Trial] = []
        with _quiet():
            self._study = optuna.create_study(
                study_name="winnow",
                sampler=_sampler(
                    sampler, seed, conditional=any(s.condition for s in self._ranges.values())
                ),
                direction="maximize" if higher_is_better else "minimize",
            )

    def propose(self, n: int) -> list[Proposal]:
        """Up to ``n`` proposals; fewer when every setting of a finite space has been proposed."""
        proposals = []
        for _ in range(n):
            drawn = self._draw()
            if drawn is None:
                break
            trial, values = drawn
            self._seen.add(_key(values))
            self._trials.append(trial)
            proposals.append(Proposal(len(self._trials) - 1, values))
        return proposals

    def learn(self, scores: Mapping[int, float]) -> None:
        """Take in scores by the proposals' numbers; NaN or an infinity says that the training
        failed.
        """
        for number, score in scores.items():
            if math.isfinite(score):
                self._study.tell(self._trials[number], score)
            else:
                # TPE forgets a FAIL and would go there again; it counts what was pruned at once
                # among the bad
                self._study.tell(self._trials[number], state=TrialState.PRUNED)

    def _draw(self) -> tuple[optuna.Trial, dict[str, Any]] | None:
        if self._listed is not None and len(self._listed) == len(self._seen):
            return None
        for _ in range(TRIES):
            trial, values = self._suggest()
            if _key(values) not in self._seen:
                return trial, values
            self._study.tell(trial, state=TrialState.FAIL)  # which the samplers forget
        untried = [
            point
            for point in self._listed or ()
            if _key(_named(self._ranges, point)) not in self._seen
        ]
        if untried:
            self._study.enqueue_trial(self._random.choice(untried))
        return self._suggest()

    def _suggest(self) -> tuple[optuna.Trial, dict[str, Any]]:
        trial = self._study.ask()
        values: dict[str, Any] = {}
        for path, setting in self._ranges.items():
            if _applies(setting, values):
                values[path] = _suggest(trial, path, setting.range)
        return trial, values


def finite_space(
    ranges: Mapping[str, OpenSetting], *, limit: int = LARGEST_LISTED
) -> list[dict[str, int]] | None:
    """Every distinct settings of a space of choices and integers, options by their position;
    None when there are too many.
    """
    points: list[dict[str, int]] = [{}]
    for path, setting in ranges.items():
        longer: list[dict[str, int]] = []
        for point in points:
            if not _applies(setting, _named(ranges, point)):
                longer.append(point)
                continue
            options = _positions(setting.range)
            if options is None or len(longer) + len(options) > limit:
                return None
            longer.extend({**point, path: option} for option in options)
        points = longer
    return points


def _sampler(name: Literal["tpe", "random"], seed: int, *, conditional: bool) -> BaseSampler:
    if name == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # without `group`, settings that stand under a choice would be sampled one by one, blind to
        # each other
        warnings.filterwarnings(
            "ignore", message="Argument ``group``", category=ExperimentalWarning
        )
        return TPESampler(seed=seed, group=conditional)


def _suggest(trial: optuna.Trial, path: str, over: Range) -> Any:
    if isinstance(over, Choice):
        # positions, not values: Optuna takes 1, 1.0 and True for the same category, and has no
        # tuples
        return over.labels[trial.suggest_categorical(path, tuple(range(len(over.labels))))]
    if isinstance(over, Integer):
        return trial.suggest_int(path, over.low, over.high)
    return trial.suggest_float(path, over.low, over.high, log=isinstance(over, Log))


def _applies(setting: OpenSetting, values: Mapping[str, Any]) -> bool:
    if setting.condition is None:
        return True
    path, option = setting.condition
    return path in values and bool(values[path] == option)


def _positions(over: Range) -> Sequence[int] | None:
    if isinstance(over, Choice):
        return range(len(over.labels))
    return range(over.low, over.high + 1) if isinstance(over, Integer) else None


def _named(ranges: Mapping[str, OpenSetting], point: Mapping[str, int]) -> dict[str, Any]:
    def named(path: str, position: int) -> Any:
        over = ranges[path].range
        return over.labels[position] if isinstance(over, Choice) else position

    return {path: named(path, position) for path, position in point.items()}


def _key(values: Mapping[str, Any]) -> str:
    return repr(sorted((path, repr(value)) for path, value in values.items()))


@contextmanager
def _quiet() -> Iterator[None]:
    """No message about a new study; the verbosity is the user's again afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
