"""Ablate: which parts matter? Every part is left out in turn, on the same seeds, and the differences are judged together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from winnow.errors import ModelError
from winnow.recipe import HIGHER_IS_BETTER, Recipe
from winnow.run import Event, Runner, Workspace
from winnow.stats import PairedComparison, compare_arms, smallest_seeds, t_interval
from winnow.study import _common
from winnow.study._arms import Arm, make_arms, part_names, with_outcomes
from winnow.study._protocol import Plan, Study, conduct
from winnow.study._simplify import Check, judge

__all__ = ["Ablation", "ablate", "plan_ablation"]

DROPPED = ("no difference", "hurts")  # verdicts on which a part goes


@dataclass(frozen=True)
class Ablation:
    """What an ablation showed.

    Attributes:
        recipe: as it was asked, with everything on.
        metric: the score, never ``auto``.
        seeds: the training seeds, the same in every arm.
        reference: the recipe itself.
        arms: one for each part, in the order of the recipe.
        comparisons: the reference against each arm; positive differences mean that the part helps.
        simplified: the recipe without the parts that make no difference or hurt, if it stood the check; else ``recipe``.
        dropped: the parts that were tried without, all together.
        check: ``recipe`` against the simplified one on fresh seeds; None when there was nothing to drop.
        notes: what the reader should know.
    """

    recipe: Recipe
    metric: str
    seeds: tuple[int, ...]
    reference: Arm
    arms: tuple[Arm, ...]
    comparisons: tuple[PairedComparison, ...]
    simplified: Recipe
    dropped: tuple[str, ...]
    check: Check | None
    notes: tuple[str, ...] = ()

    def verdicts(self) -> dict[str, str]:
        """Part -> ``helps``, ``hurts``, ``no difference`` or ``undecided``."""
        return {c.name: c.verdict for c in self.comparisons}

    def table(self) -> pl.DataFrame:
        """One row per part; differences in units of the score, positive where the part helps."""
        return pl.DataFrame([{k: v for k, v in row.items() if k != "scores"} for row in self._rows()], infer_schema_length=None)

    def to_dict(self) -> dict[str, Any]:
        """The ``ablation`` document."""
        return _common.plain(
            {
                "metric": self.metric,
                "seeds": self.seeds,
                "smallest_effect": self.recipe.ablate.smallest_effect,
                "confidence": self.recipe.ablate.confidence,
                "reference": {
                    "interval": t_interval(self.reference.scores, self.recipe.ablate.confidence).to_dict(),
                    "scores": self.reference.scores,
                },
                "comparisons": self._rows(),
                "notes": self.notes,
                "simplified": {
                    "dropped": self.dropped,
                    "recipe_yaml": self.simplified.to_yaml(),
                    "accepted": self.check is None or self.check.accepted,
                    "check": None if self.check is None else self.check.to_dict(),
                    "reason": "no part made no difference or hurt: nothing to drop" if self.check is None else self.check.reason,
                },
            }
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [_row(arm, c) for arm, c in zip(self.arms, self.comparisons, strict=True)]


def ablate(
    recipe: Recipe,
    *,
    parts: Sequence[str] | None = None,
    modules: Sequence[str] | None = None,
    seeds: int | None = None,
    smallest_effect: float | None = None,
    confidence: float | None = None,
    workspace: Workspace | str | Path | None = None,
    progress: Callable[[Event], None] | None = None,
    runner: Runner | None = None,
) -> Ablation:
    """Leave out each part of a recipe in turn and judge what it does, then check the recipe without the parts that do nothing.

    Leaving one out shows whether a part is needed beside all others. Two parts that stand in for each other both look useless;
    that is why the parts are dropped together only after that version was trained beside the full one.

    Args:
        recipe: with nothing open.
        parts, modules, seeds, smallest_effect, confidence: in place of the recipe's own ``ablate`` settings.
        workspace: where outcomes are kept, so that the same ablation goes on where it was; None: a temporary place.
        progress: is called with what is going on.
        runner: trains, in place of a new one over ``workspace``.

    Raises:
        RecipeError: for open settings, a part that does not exist, or a recipe without parts.
        ModelError: when the recipe itself cannot be trained.
    """
    recipe = _common.with_overrides(
        recipe,
        "ablate",
        parts=None if parts is None else tuple(parts),
        modules=None if modules is None else tuple(modules),
        seeds=seeds,
        smallest_effect=smallest_effect,
        confidence=confidence,
    )
    _common.require_closed(recipe, "an ablation")
    names, off = part_names(recipe)
    runner = runner or Runner(Workspace.open(workspace), progress=progress)
    metric, context = runner.context(recipe)
    reference, arms, notes = make_arms(recipe, names, runner.prepared(recipe.data))
    ablation = conduct(
        Study("ablate", plan_ablation(reference, arms, metric=metric, context=context, notes=[*off, *notes])), runner
    )
    runner.workspace.ledger.put_document("ablation", ablation.to_dict())
    return ablation


def plan_ablation(reference: Arm, arms: Sequence[Arm], *, metric: str, context: str, notes: Sequence[str] = ()) -> Plan[Ablation]:
    """The ablation as a plan: all arms x seeds at once, then the full and the simplified recipe on fresh seeds."""
    recipe, ask = reference.recipe, reference.recipe.ablate
    seeds = _common.fresh_seeds(recipe, "ablate", ask.seeds)
    reference, *arms = yield from _train([reference, *arms], seeds, metric, context)
    if all(not o.finished for o in reference.outcomes):
        raise ModelError(f"the recipe with all its parts failed on every seed: {_common.reasons(reference.outcomes)}")
    comparisons = compare_arms(
        reference.scores,
        {arm.name: arm.scores for arm in arms},
        higher_is_better=HIGHER_IS_BETTER[metric],
        smallest_effect=ask.smallest_effect,
        confidence=ask.confidence,
    )
    dropped = [c.name for c in comparisons if c.verdict in DROPPED]
    check = None
    if dropped:
        versions = [Arm("full", recipe), Arm("simplified", recipe.without(*dropped))]
        full, simplified = yield from _train(versions, _common.fresh_seeds(recipe, "check", ask.seeds), metric, context)
        check = judge(full.outcomes, simplified.outcomes, metric=metric, ask=ask)
    return Ablation(
        recipe=recipe,
        metric=metric,
        seeds=tuple(seeds),
        reference=reference,
        arms=tuple(arms),
        comparisons=tuple(comparisons),
        simplified=recipe.without(*dropped) if check is not None and check.accepted else recipe,
        dropped=tuple(dropped),
        check=check,
        notes=(*notes, *_too_few_seeds(len(arms), ask.seeds, ask.confidence), *_failures([reference, *arms])),
    )


def _train(arms: Sequence[Arm], seeds: Sequence[int], metric: str, context: str) -> Plan[list[Arm]]:
    """The arms with their outcomes, every arm on the same seeds."""
    variants = [[arm.recipe.variant(seed, metric=metric, context=context) for seed in seeds] for arm in arms]
    outcomes = yield [v for group in variants for v in group]
    groups = [outcomes[i : i + len(seeds)] for i in range(0, len(outcomes), len(seeds))]
    return [with_outcomes(arm, vs, group) for arm, vs, group in zip(arms, variants, groups, strict=True)]


def _too_few_seeds(num_arms: int, seeds: int, confidence: float) -> list[str]:
    if not num_arms:
        return []
    needed = smallest_seeds(num_arms, 1 - confidence)
    if seeds >= needed:
        return []
    return [
        f"{seeds} seeds cannot show that one of {num_arms} parts helps or hurts at confidence {confidence:g}, however large its "
        f"effect: that takes at least {needed} seeds (ablate.seeds)"
    ]


def _failures(arms: Sequence[Arm]) -> list[str]:
    notes = []
    for arm in arms:
        lost = [o for o in arm.outcomes if not o.finished]
        if lost:
            which = f"without {arm.name}" if arm.part else "with all parts"
            notes.append(f"{which}: {len(lost)} of {len(arm.outcomes)} trainings failed: {_common.reasons(lost)}")
    return notes


def _row(arm: Arm, c: PairedComparison) -> dict[str, Any]:
    return {
        "name": c.name,
        "what": arm.part.what if arm.part else "",
        "mean": c.difference.mean,
        "low": c.difference.low,
        "high": c.difference.high,
        "p": c.p,
        "p_holm": c.p_holm,
        "verdict": c.verdict,
        "n": c.n,
        "lost": c.lost,
        "correlation": c.correlation,
        "mde": c.mde,
        "scores": arm.scores,
    }
