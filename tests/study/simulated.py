"""Whole ablations by the thousand: the real plan, verdicts and simplification, over outcomes that
are drawn instead of trained.

A world says what each version of the recipe truly scores; a study sees that through noise, rows and
failures. The stand-ins for recipes and variants hold just what the plan reads, since a thousand
studies of real ones would take an hour.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from winnow.recipe import Ablate, Outcome
from winnow.study import Ablation, Look, plan_ablation
from winnow.study._arms import Arm
from winnow.study._protocol import Plan
from winnow.study._simplify import Simplification, simplify

__all__ = ["PARTS", "Rate", "World", "run_checks", "run_study"]

PARTS = ("a", "b", "c", "d")
Off = frozenset[str]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Version:
    """A variant: the parts that are off, and the seed."""

    off: Off
    seed: int
    id: str


@functools.cache
def _version(off: Off, seed: int) -> Version:
    return Version(off, seed, f"{sorted(off)} {seed}")


@dataclass(frozen=True)
class Sketch:
    """A recipe."""

    ablate: Ablate
    off: Off = frozenset()
    seed: int = 0

    def without(self, *names: str) -> Sketch:
        return Sketch(self.ablate, self.off | set(names), self.seed)

    def variant(self, seed: int, **_: Any) -> Version:
        return _version(self.off, seed)


@dataclass(frozen=True)
class World:
    """What is true, and how it is seen.

    Attributes:
        loss: of the score without these parts.
        shared, own: deviations of the noise that all versions with one seed share, and that each
            has for itself.
        rows: the score is rounded to whole rows; None: it is not.
        fails: the probability that a training without these parts fails.
        tails: the noise is Student's with three degrees of freedom.
    """

    loss: Callable[[Off], float] = lambda off: 0.0
    shared: float = 0.01
    own: float = 0.002
    rows: int | None = 1000
    fails: Callable[[Off], float] = lambda off: 0.0
    tails: bool = False
    metric: str = "accuracy"
    parts: tuple[str, ...] = PARTS
    ask: Ablate = field(default_factory=lambda: Ablate(smallest_effect=0.005))


def run_study(
    world: World,
    rng: np.random.Generator,
    *,
    look: Look | None = None,
    noise: dict[Any, float] | None = None,
) -> Ablation:
    """One ablation. ``noise`` holds what was drawn before, for another look at the same
    trainings.
    """
    recipe: Any = Sketch(world.ask)
    arms = [Arm(name, recipe.without(name)) for name in world.parts]
    reference = Arm("reference", recipe)
    plan = plan_ablation(
        reference, arms, metric=world.metric, context="", rows=world.rows, look=look
    )
    return _answer(plan, world, rng, {} if noise is None else noise)


def run_checks(world: World, rng: np.random.Generator) -> Simplification:
    """The simplification alone, of a study in which all parts of the world looked idle. Its seeds
    are fresh, so what comes of it does not depend on how the study came to that.
    """
    recipe: Any = Sketch(world.ask)
    plan = simplify(
        Arm("reference", recipe),
        same=[],
        idle=world.parts,
        metric=world.metric,
        context="",
        confidence=world.ask.confidence,
        rows=world.rows,
    )
    return _answer(plan, world, rng, {})


def _answer(
    plan: Plan[Answer], world: World, rng: np.random.Generator, drawn: dict[Any, float]
) -> Answer:
    """What the plan concludes when its variants are drawn from the world."""

    def draw(key: Any) -> float:
        if key not in drawn:
            drawn[key] = rng.standard_t(3) / math.sqrt(3) if world.tails else rng.normal()
        return drawn[key]

    def outcome(v: Version) -> Outcome:
        fate = ("fails", v.id)
        chance = world.fails(v.off)
        if chance and fate not in drawn:
            drawn[fate] = rng.random()
        if chance and drawn[fate] < chance:
            return Outcome(v.id, "failed", reason="drawn")
        better = 0.9 - world.loss(v.off) + world.shared * draw(v.seed) + world.own * draw(v.id)
        score = 1 - better if world.metric == "log_loss" else better
        score = (
            score
            if world.rows is None or world.metric == "log_loss"
            else round(score * world.rows) / world.rows
        )
        return Outcome(v.id, "finished", score=score, predictions_digest=v.id)

    wanted = next(plan)
    while True:
        try:
            wanted = plan.send([outcome(v) for v in wanted])  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Rate:
    """How often something happened, with the upper end of Clopper and Pearson's one-sided
    interval at 95 %.
    """

    hits: int
    of: int

    @property
    def share(self) -> float:
        return self.hits / self.of

    @property
    def upper(self) -> float:
        return (
            float(stats.beta.ppf(0.95, self.hits + 1, self.of - self.hits))
            if self.hits < self.of
            else 1.0
        )

    def is_at_most(self, limit: float) -> bool:
        """Whether so many hits are no surprise (1 in 1000) where the true rate is the limit."""
        return self.hits <= stats.binom.ppf(0.999, self.of, limit)

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % of {self.of} (at most {100 * self.upper:.1f} %)"
