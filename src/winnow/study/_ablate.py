"""Ablate: which parts matter? Every part is left out in turn, on the same seeds, and the
differences are judged together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from winnow.data import row_worth as worth_of_a_row
from winnow.errors import ModelError, OutOfTime
from winnow.execution import Event, Runner, Workspace
from winnow.recipe import Recipe, metric_of
from winnow.records import keep, recall
from winnow.stats import PairedComparison, compare_arms, smallest_seeds
from winnow.study import _asking, _looks, _scores
from winnow.study._ablation import FOR_COST, Ablation
from winnow.study._ablation_notes import failed_trainings, too_few_rows, too_few_seeds
from winnow.study._allowance import Allowance, Option, steps
from winnow.study._arms import Arm, make_arms, part_names, same_predictions, train_arms
from winnow.study._looks import Look
from winnow.study._protocol import Plan, Study, conduct
from winnow.study._records import LooksRecord
from winnow.study._simplify import Simplification, simplify

__all__ = ["ablate", "plan_ablation"]


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
    allowance: Allowance | None = None,
) -> Ablation:
    """Leave out each part of a recipe in turn and judge what it does, then check the recipe without
    the parts that do nothing.

    Leaving one out shows whether a part is needed beside all others. Two parts that stand in for
    each other both look useless; that is why parts go only after the version without all of them
    was trained beside the full one, see ``simplify``.

    Args:
        recipe: with nothing open.
        parts, modules, seeds, smallest_effect, confidence: in place of the recipe's own ``ablate``
            settings.
        workspace: where outcomes are kept, so that the same ablation goes on where it was; None: a
            temporary place.
        progress: is called with what is going on.
        runner: trains, in place of a new one over ``workspace``.
        allowance: decides how much of it is asked for, where time is short; None: all, and the
            recipe's ``minutes`` do not count.

    Raises:
        RecipeError: for open settings, a part that does not exist, or a recipe without parts.
        ModelError: when the recipe itself cannot be trained.
        OutOfTime: the allowance does not hold as many seeds as can tell anything.
    """
    recipe = _asking.with_overrides(
        recipe,
        "ablate",
        parts=None if parts is None else tuple(parts),
        modules=None if modules is None else tuple(modules),
        seeds=seeds,
        smallest_effect=smallest_effect,
        confidence=confidence,
    )
    _asking.require_closed(recipe, "an ablation")
    names, off = part_names(recipe)
    _asking.warn_of_minutes(recipe, allowance)
    runner = runner or Runner(Workspace.open(workspace), progress=progress)
    metric, context = runner.context(recipe)
    prepared = runner.prepared(recipe.data)
    reference, arms, notes = make_arms(recipe, names, prepared)
    if allowance is not None:
        recipe = _within(allowance, recipe, [reference, *arms], metric, context)
        reference = replace(reference, recipe=recipe)
    ledger = runner.workspace.ledger
    asked = [arm.name for arm in arms]
    earlier = recall(ledger, LooksRecord)
    looks, look = _looks.count(earlier, recipe, asked, metric=metric, context=context)
    plan = plan_ablation(
        reference,
        arms,
        metric=metric,
        context=context,
        notes=[*off, *notes],
        rows=len(prepared.validation),
        row_worth=worth_of_a_row(prepared, metric, recipe.data.split.seed),
        look=look,
        allowance=allowance,
    )
    ablation = conduct(Study("ablate", plan), runner)
    keep(ledger, looks)
    keep(ledger, ablation.record)
    return ablation


def plan_ablation(
    reference: Arm,
    arms: Sequence[Arm],
    *,
    metric: str,
    context: str,
    notes: Sequence[str] = (),
    rows: int | None = None,
    row_worth: float | None = None,
    look: Look | None = None,
    allowance: Allowance | None = None,
) -> Plan[Ablation]:
    """Return the ablation as a plan: all arms on all seeds at once, then the full and the
    simplified recipe on fresh seeds.

    Args:
        reference: the recipe with all its parts, not yet trained.
        arms: the recipe without each part, of ``make_arms``.
        metric: the score, never ``auto``.
        context: digest of the data and of the model's source.
        notes: that stand before those of the plan.
        rows: of the validation part, if known.
        row_worth: by how much one of them can move the score at most; None: by 1 / ``rows`` of its
            range.
        look: which look at the same question it is; None: the first.
        allowance: decides whether there is time for each check of what may go; None: there is.

    Raises:
        ModelError: when the recipe itself fails on every seed.
    """
    recipe = reference.recipe
    ask = recipe.ablate
    look = look or Look(1, ask.confidence, ask.confidence, ())
    seeds = _asking.fresh_seeds(recipe, "ablate", ask.seeds)
    reference, *arms = yield from train_arms([reference, *arms], seeds, metric, context)
    if not any(outcome.finished for outcome in reference.outcomes):
        reasons = _scores.reasons(reference.outcomes)
        raise ModelError(f"the recipe with all its parts failed on every seed: {reasons}")
    comparisons = _compared(reference, arms, metric, look.confidence, rows, row_worth)
    simplification = _nothing_may_go(comparisons)
    same, idle = _may_go(comparisons)
    if same or idle:
        simplification = yield from simplify(
            reference,
            same=same,
            idle=idle,
            metric=metric,
            context=context,
            confidence=look.confidence,
            rows=rows,
            row_worth=row_worth,
            allowance=allowance,
        )
    dropped = simplification.dropped
    return Ablation(
        recipe=recipe,
        metric=metric,
        seeds=tuple(seeds),
        reference=reference,
        arms=tuple(arms),
        comparisons=tuple(comparisons),
        simplified=recipe.without(*dropped) if dropped else recipe,
        simplification=simplification,
        rows=rows,
        look=look,
        row_worth=row_worth,
        notes=(
            *notes,
            *look.notes(),
            *too_few_seeds(len(arms), ask.seeds, look.confidence),
            *too_few_rows(metric, ask.smallest_effect, rows, row_worth),
            *failed_trainings([reference, *arms]),
        ),
    )


def _compared(
    reference: Arm,
    arms: Sequence[Arm],
    metric: str,
    confidence: float,
    rows: int | None,
    row_worth: float | None,
) -> list[PairedComparison]:
    scored_by = metric_of(metric)
    return compare_arms(
        reference.scores,
        {arm.name: arm.scores for arm in arms},
        higher_is_better=scored_by.higher_is_better,
        smallest_effect=reference.recipe.ablate.smallest_effect,
        confidence=confidence,
        bounds=scored_by.bounds,
        rows=rows,
        row_worth=row_worth,
        identical=[arm.name for arm in arms if same_predictions(reference, arm)],
    )


def _nothing_may_go(comparisons: Sequence[PairedComparison]) -> Simplification:
    """Return the simplification that leaves all parts in, with the reason."""
    spared = [c.name for c in comparisons if c.verdict == "no difference" and c.name in FOR_COST]
    if not spared:
        return Simplification((), (), (), "no part was shown to make no difference or to hurt")
    reason = (
        f"{' and '.join(spared)} is there to save time and stays; no other part was shown to make "
        f"no difference or to hurt"
    )
    return Simplification((), (), (), reason)


def _within(
    allowance: Allowance, recipe: Recipe, arms: Sequence[Arm], metric: str, context: str
) -> Recipe:
    """Return the recipe with as many seeds for its ablation as there is time for, and for a first
    check of what may go if possible.

    Raises:
        OutOfTime: where that are fewer than could show anything.
    """
    ask = recipe.ablate
    num_parts = len(arms) - 1
    least = min(ask.seeds, smallest_seeds(max(num_parts, 1), 1 - ask.confidence))
    seeds = _asking.fresh_seeds(recipe, "ablate", ask.seeds)

    def option(n: int, more: int) -> Option:
        asked = [
            arm.recipe.variant(seed, metric=metric, context=context)
            for arm in arms
            for seed in seeds[:n]
        ]
        return Option(f"an ablation on {n} seeds", asked, more)

    numbers = steps(ask.seeds, least)
    # A check trains two arms on as many seeds; fewer seeds come only where none leave time for one
    with_check = [option(n, more=2 * n) for n in numbers]
    without_check = [option(n, more=0) for n in numbers]
    nothing = Option(f"no ablation, which takes {least} seeds or more")
    chosen = allowance.choose("ablate: seeds", [*with_check, *without_check, nothing])
    if chosen == 2 * len(numbers):
        raise OutOfTime(
            f"the time does not hold an ablation on {least} seeds, and fewer could not show "
            f"anything"
        )
    return _asking.with_overrides(recipe, "ablate", seeds=numbers[chosen % len(numbers)])


def _may_go(comparisons: Sequence[PairedComparison]) -> tuple[list[str], list[str]]:
    """Return the parts without which no prediction changed; and those that make no difference or
    hurt, the most harmless first.
    """
    harmless = [c for c in comparisons if _is_harmless(c)]
    harmless.sort(key=lambda comparison: comparison.difference.high)
    same = [c.name for c in harmless if c.identical]
    idle = [c.name for c in harmless if not c.identical]
    return same, idle


def _is_harmless(comparison: PairedComparison) -> bool:
    if comparison.verdict == "hurts":
        return True
    # What saves time has a purpose beside the score, so that it does nothing to the score
    return comparison.verdict == "no difference" and comparison.name not in FOR_COST
