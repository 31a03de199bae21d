"""How much a recipe will train, and in what groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from winnow.errors import ModelError, WinnowError
from winnow.execution import PlannedFleet, Planner, cores
from winnow.pipeline._check import CheckedRecipe
from winnow.recipe import Recipe, Variant, resolve_metric
from winnow.study import Study, most_trainings, plan_search, plan_training
from winnow.training import measure, num_steps, probe

__all__ = ["describe_plan", "expected_trainings", "training_seconds"]


def describe_plan(checked: CheckedRecipe) -> list[str]:
    """What will be trained: how many times in each stage, and how the first variants will be, by
    the planner that a run asks too. Where there is enough to train, a second or so of steps is
    timed for that; nothing is trained.
    """
    recipe = checked.recipe
    counts = {stage: n for stage, n in expected_trainings(recipe).items() if n}
    variants = _first_variants(checked)
    steps = variants[0].train.epochs * num_steps(variants[0], len(checked.prepared.train))
    total = sum(counts.values())
    return [
        f"about {total} trainings of up to {steps:,} steps: "
        + ", ".join(f"{n} to {stage}" for stage, n in counts.items())
        + _checks(recipe),
        ", ".join(
            f"{len(getattr(checked.prepared, part))} {part}"
            for part in ("train", "validation", "test")
        )
        + " rows",
        *_groups(checked, variants),
    ]


def training_seconds(checked: CheckedRecipe) -> tuple[float, float] | None:
    """What one training of the first variant takes at least and about, from a few steps that are
    timed; None: not known.

    At least: in the fastest way, on all cores, stopped as early as its patience allows. About: in a
    stack on one core of a machine with other work, stopped halfway between that and its last epoch,
    in proportion.
    """
    variant = _first_variants(checked)[0]
    try:
        timing = measure(variant, checked.prepared, seconds=0.3)
    except WinnowError:
        raise
    except Exception:  # a model that does not stack; what is wrong with it, training will tell
        return None
    stopping, epochs = variant.train.early_stopping, variant.train.epochs
    fewest = epochs if stopping is None else min(epochs, stopping.patience + 1)
    steps = num_steps(variant, len(checked.prepared.train))
    least = fewest * steps * min(timing.stacked_seconds, timing.alone_seconds) / cores()
    return least, 1.5 * math.sqrt(fewest * epochs) * steps * timing.stacked_seconds


def expected_trainings(recipe: Recipe) -> dict[str, int]:
    """About how many trainings each stage asks for, without those that check what the ablation
    drops.
    """
    ask, ablated = recipe.search, _ablated(recipe)
    return {
        "search": ask.trials + ask.leaders * ask.seeds if recipe.is_open else 0,
        "ablate": (1 + len(ablated)) * recipe.ablate.seeds if ablated else 0,
        "train": recipe.final.seeds,
    }


def _ablated(recipe: Recipe) -> set[str]:
    """The parts that will be left out in turn."""
    named = recipe.parts() if recipe.ablate.parts == "all" else recipe.ablate.parts
    return {*named, *(f"model.{module}" for module in recipe.ablate.modules)}


def _checks(recipe: Recipe) -> str:
    most = most_trainings(recipe.ablate.seeds, len(_ablated(recipe)))
    return f"; at most {most} more to check which parts can go together" if most else ""


def _first_variants(checked: CheckedRecipe) -> list[Variant]:
    """The variants that the first study asks for at once."""
    recipe, prepared = checked.recipe, checked.prepared
    metric = resolve_metric(recipe.metric, prepared.task)
    if recipe.is_open:
        return Study("search", plan_search(recipe, metric=metric, context="")).ask(
            recipe.search.batch
        )
    return Study("train", plan_training(recipe, metric=metric, context="")).ask(recipe.final.seeds)


def _groups(checked: CheckedRecipe, variants: list[Variant]) -> list[str]:
    planner = Planner(lambda _: checked.prepared, tries_compiling=False)
    stage = "search" if checked.recipe.is_open else "train"
    fleets = planner.plan(variants, ahead=expected_trainings(checked.recipe)[stage] - len(variants))
    lines = []
    for _, kind in itertools.groupby(fleets, key=lambda fleet: (fleet.how, fleet.reason)):
        group = list(kind)
        members = sum(len(fleet.positions) for fleet in group)
        first = variants[group[0].positions[0]]
        size = (
            "" if group[0].how == "refused" else f" ({planner.parameters(first):,} parameters each)"
        )
        lines += [
            f"of the first {len(variants)}: {members} {_way(group)}{size}",
            f"  because: {group[0].reason}",
        ]
    largest = max(fleets, key=lambda fleet: len(fleet.positions))
    if largest.how == "stacked" and largest.measured:
        lines += _faster_precision(variants[largest.positions[0]], checked)
    return lines


def _way(fleets: Sequence[PlannedFleet]) -> str:
    """How the variants of some fleets of one kind train, in words."""
    first = fleets[0]
    memory = (
        f"about {first.peak_bytes / 2**20:,.1f} MiB at the peak"
        if first.peak_bytes
        else "memory not known"
    )
    if first.how == "stacked":
        sizes = [len(fleet.positions) for fleet in fleets]
        size = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
        made = "compiled" if first.compiled else "not compiled"
        if len(fleets) == 1:
            return f"train as one program, {made}, {memory}"
        return (
            f"train in {len(fleets)} fleets of {size}, {first.at_once} at once, each one "
            f"program, {made}, {memory} each"
        )
    if first.how == "process":
        return (
            f"train one at a time in {first.at_once} worker process{'es' * (first.at_once > 1)}, "
            f"{memory} each"
        )
    if first.how == "alone":
        return f"train{'s' * (len(fleets) == 1)} alone in this process, {memory}"
    return "cannot be built"


FASTER = 1.15  # times, before a lower precision is worth a word


def _faster_precision(variant: Variant, checked: CheckedRecipe) -> list[str]:
    """Whether bfloat16 would be faster on this machine, when it is."""
    if variant.train.precision != "float32":
        return []
    low = variant.model_copy(
        update={"train": variant.train.model_copy(update={"precision": "bfloat16"})}
    )
    try:
        if probe(low, checked.prepared).reason is not None:
            return []
    except ModelError:
        return []
    seconds = [measure(v, checked.prepared, seconds=0.3).stacked_seconds for v in (variant, low)]
    gain = seconds[0] / seconds[1]
    return (
        [f"bfloat16 measured {gain:.1f}x as fast: train.precision: bfloat16"]
        if gain >= FASTER
        else []
    )
