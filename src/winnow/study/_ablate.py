"""Ablate: which parts matter? Every part is left out in turn, on the same seeds, and the
differences are judged together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from winnow.data import rounded_up
from winnow.data import row_worth as worth_of_a_row
from winnow.errors import ModelError, OutOfTime
from winnow.execution import Event, Runner, Workspace
from winnow.recipe import Recipe, metric_of
from winnow.records import keep, recall
from winnow.stats import (
    FEWEST_PAIRS,
    Interval,
    PairedComparison,
    compare_arms,
    one_row,
    shown_margin,
    smallest_seeds,
    t_interval,
)
from winnow.study import _asking, _looks, _scores
from winnow.study._allowance import Allowance, Option, steps
from winnow.study._arms import Arm, make_arms, part_names, same_predictions, train_arms
from winnow.study._looks import Look
from winnow.study._protocol import Plan, Study, conduct
from winnow.study._records import (
    AblationRecord,
    ArmRecord,
    ComparisonRecord,
    LooksRecord,
    SimplifiedRecord,
)
from winnow.study._simplify import Simplification, simplify

__all__ = ["Ablation", "ablate", "plan_ablation"]

# Parts that are there to save trainings' time; that they do nothing to the score is their purpose
FOR_COST = ("early_stopping",)


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
        simplified: the recipe without the parts that were shown to do nothing, or to hurt, all
            together.
        simplification: which parts went, which stayed, and the checks that decided; see
            ``simplify``.
        rows: of the validation part; None: not known.
        row_worth: by how much one of them can move the score at most; None: not known, or as far as
            it likes.
        look: the how manieth look at this question this is, and the confidence that is left for it.
        notes: what the reader should know.
    """

    recipe: Recipe
    metric: str
    seeds: tuple[int, ...]
    reference: Arm
    arms: tuple[Arm, ...]
    comparisons: tuple[PairedComparison, ...]
    simplified: Recipe
    simplification: Simplification
    rows: int | None
    look: Look
    row_worth: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """The parts that ``simplified`` lacks."""
        return self.simplification.dropped

    def verdicts(self) -> dict[str, str]:
        """Part -> ``helps``, ``hurts``, ``needed``, ``no difference`` or ``undecided``."""
        return {c.name: c.verdict for c in self.comparisons}

    def table(self) -> pl.DataFrame:
        """One row per part; differences in units of the score, positive where the part helps."""
        return pl.DataFrame(
            [
                {k: v for k, v in vars(row).items() if k not in ("scores", "saved")}
                for row in self._rows()
            ],
            infer_schema_length=None,
        )

    @property
    def record(self) -> AblationRecord:
        """The ``ablation`` document."""
        interval = _scores.score_interval(
            self.reference.outcomes, self.metric, self.rows, self.look.confidence
        )
        return AblationRecord(
            metric=self.metric,
            seeds=self.seeds,
            smallest_effect=self.recipe.ablate.smallest_effect,
            confidence=self.look.confidence,
            validation_rows=self.rows,
            one_row=self.row_worth
            if self.row_worth is not None or self.rows is None
            else self._one_row(self.rows),
            looks=self.look.record,
            reference=ArmRecord(interval, tuple(self.reference.scores)),
            comparisons=tuple(self._rows()),
            notes=self.notes,
            simplified=SimplifiedRecord(
                dropped=self.simplification.dropped,
                kept=self.simplification.kept,
                recipe_yaml=self.simplified.to_yaml(),
                accepted=not self.simplification.kept,
                checks=self.simplification.checks,
                reason=self.simplification.reason,
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """``record`` as plain data."""
        return self.record.to_dict()

    def _rows(self) -> list[ComparisonRecord]:
        return [
            _row(self.reference, arm, c, self.look.confidence)
            for arm, c in zip(self.arms, self.comparisons, strict=True)
        ]

    def _one_row(self, rows: int) -> float:
        mean = float(np.nanmean(self.reference.scores))
        return one_row(mean, metric_of(self.metric).bounds, rows)


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
    ledger, asked = runner.workspace.ledger, [arm.name for arm in arms]
    looks, look = _looks.count(
        recall(ledger, LooksRecord), recipe, asked, metric=metric, context=context
    )
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
    """The ablation as a plan: all arms x seeds at once, then the full and the simplified recipe on
    fresh seeds.

    Args:
        rows: of the validation part, if known.
        row_worth: by how much one of them can move the score at most; None: by 1 / ``rows`` of its
            range.
        look: the how manieth look at the same question; None: the first.
        allowance: decides whether there is time for each check of what may go; None: there is.
    """
    recipe, ask = reference.recipe, reference.recipe.ablate
    look = look or Look(1, ask.confidence, ask.confidence, ())
    seeds = _asking.fresh_seeds(recipe, "ablate", ask.seeds)
    reference, *arms = yield from train_arms([reference, *arms], seeds, metric, context)
    if all(not o.finished for o in reference.outcomes):
        raise ModelError(
            f"the recipe with all its parts failed on every seed: "
            f"{_scores.reasons(reference.outcomes)}"
        )
    comparisons = compare_arms(
        reference.scores,
        {arm.name: arm.scores for arm in arms},
        higher_is_better=metric_of(metric).higher_is_better,
        smallest_effect=ask.smallest_effect,
        confidence=look.confidence,
        bounds=metric_of(metric).bounds,
        rows=rows,
        row_worth=row_worth,
        identical=[arm.name for arm in arms if same_predictions(reference, arm)],
    )
    same, idle = _may_go(comparisons)
    spared = [c.name for c in comparisons if c.verdict == "no difference" and c.name in FOR_COST]
    reason = "no part was shown to make no difference or to hurt"
    if spared:
        reason = (
            f"{' and '.join(spared)} is there to save time and stays; "
            f"{reason.replace('no part', 'no other part')}"
        )
    done = Simplification((), (), (), reason)
    if same or idle:
        done = yield from simplify(
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
    return Ablation(
        recipe=recipe,
        metric=metric,
        seeds=tuple(seeds),
        reference=reference,
        arms=tuple(arms),
        comparisons=tuple(comparisons),
        simplified=recipe.without(*done.dropped) if done.dropped else recipe,
        simplification=done,
        rows=rows,
        look=look,
        row_worth=row_worth,
        notes=(
            *notes,
            *look.notes(),
            *_too_few_seeds(len(arms), ask.seeds, look.confidence),
            *_too_few_rows(metric, ask.smallest_effect, rows, row_worth),
            *_failures([reference, *arms]),
        ),
    )


def _within(
    allowance: Allowance, recipe: Recipe, arms: Sequence[Arm], metric: str, context: str
) -> Recipe:
    """The recipe with as many seeds for its ablation as there is time for, and for a first check of
    what may go if possible.

    Raises:
        OutOfTime: where that are fewer than could show anything.
    """
    ask = recipe.ablate
    least = min(ask.seeds, smallest_seeds(max(len(arms) - 1, 1), 1 - ask.confidence))
    seeds = _asking.fresh_seeds(recipe, "ablate", ask.seeds)

    def option(n: int, more: int) -> Option:
        asked = [
            arm.recipe.variant(seed, metric=metric, context=context)
            for arm in arms
            for seed in seeds[:n]
        ]
        return Option(f"an ablation on {n} seeds", asked, more)

    numbers = steps(ask.seeds, least)
    options = [*(option(n, 2 * n) for n in numbers), *(option(n, 0) for n in numbers)]
    options.append(Option(f"no ablation, which takes {least} seeds or more"))
    chosen = allowance.choose("ablate: seeds", options)
    if chosen == len(options) - 1:
        raise OutOfTime(
            f"the time does not hold an ablation on {least} seeds, and fewer could not show "
            f"anything"
        )
    return _asking.with_overrides(recipe, "ablate", seeds=numbers[chosen % len(numbers)])


def _may_go(comparisons: Sequence[PairedComparison]) -> tuple[list[str], list[str]]:
    """The parts without which no prediction changed; and those that make no difference or hurt,
    the most harmless first.
    """
    harmless = sorted(
        (c for c in comparisons if c.verdict in ("no difference", "hurts")),
        key=lambda c: c.difference.high,
    )
    gone = [c for c in harmless if c.verdict == "hurts" or c.name not in FOR_COST]
    return [c.name for c in gone if c.identical], [c.name for c in gone if not c.identical]


def _too_few_rows(
    metric: str, smallest_effect: float, rows: int | None, row_worth: float | None
) -> list[str]:
    bounds = metric_of(metric).bounds
    if rows is None or shown_margin(smallest_effect, bounds, rows, row_worth) == smallest_effect:
        return []
    least = row_worth or one_row(0.0, bounds, rows)
    which = " of the rarest class" if metric_of(metric).by_class else ""
    return [
        f"one{which} of {rows} validation rows can move {metric} by {least:.2g}, so no part can "
        f"be shown to make no difference "
        f"within {smallest_effect:g}, unless it changes no prediction at all "
        f"(ablate.smallest_effect: {rounded_up(least):g} or "
        "more)"
    ]


def _too_few_seeds(num_arms: int, seeds: int, confidence: float) -> list[str]:
    if not num_arms:
        return []
    needed = smallest_seeds(num_arms, 1 - confidence)
    notes = []
    if seeds < needed:
        notes.append(
            f"{seeds} seeds cannot show that one of {num_arms} parts helps or hurts at "
            f"confidence {confidence:g}, however large "
            f"its effect: that takes at least {needed} seeds (ablate.seeds)"
        )
    if seeds < FEWEST_PAIRS:
        notes.append(
            f"{seeds} seeds cannot show that a part makes no difference, even where no "
            f"prediction changes: that takes at least "
            f"{FEWEST_PAIRS} seeds (ablate.seeds)"
        )
    return notes


def _failures(arms: Sequence[Arm]) -> list[str]:
    notes = []
    for arm in arms:
        lost = [o for o in arm.outcomes if not o.finished]
        if lost:
            which = f"without {arm.name}" if arm.part else "with all parts"
            notes.append(
                f"{which}: {len(lost)} of {len(arm.outcomes)} trainings failed: "
                f"{_scores.reasons(lost)}"
            )
    return notes


def _row(reference: Arm, arm: Arm, c: PairedComparison, confidence: float) -> ComparisonRecord:
    return ComparisonRecord(
        name=c.name,
        what=arm.part.what if arm.part else "",
        mean=c.difference.mean,
        low=c.difference.low,
        high=c.difference.high,
        p=c.p,
        p_holm=c.p_holm,
        p_same=c.p_same,
        p_failures=c.p_failures,
        verdict=c.verdict,
        at_least_smallest=c.at_least_smallest,
        identical=c.identical,
        n=c.n,
        lost=c.lost,
        failed=c.failed,
        failed_with=c.failed_with,
        trained=len(arm.outcomes),
        correlation=c.correlation,
        mde=c.mde,
        scores=tuple(arm.scores),
        saved=_saved(reference, arm, confidence) if c.name in FOR_COST else None,
    )


def _saved(reference: Arm, arm: Arm, confidence: float) -> Interval:
    """Epochs that the part saves: of the arm without it less those of the reference, seed by
    seed.
    """
    pairs = [
        (o.epochs, r.epochs)
        for o, r in zip(arm.outcomes, reference.outcomes, strict=True)
        if o.finished and r.finished
    ]
    return t_interval([float(without - with_) for without, with_ in pairs], confidence)
