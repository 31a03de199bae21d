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
from winnow.training import measure, num_steps, probe, stopping_of

__all__ = ["describe_plan", "expected_trainings", "training_seconds"]

FASTER = 1.15  # times, before a lower precision is worth a word
SHORT = 0.3  # seconds of steps that are timed: enough for a figure of one digit or two
# A training shares its core with other work of the machine, which the timing had to itself.
SHARED_CORE = 1.5


def describe_plan(checked: CheckedRecipe) -> list[str]:
    """Describe what a recipe will train: how many times in each stage, and how the first variants.

    The planner is the one that a run asks, too. Where there is enough to train, a second or so of
    steps is timed for that; nothing is trained.

    Args:
        checked: the recipe.

    Returns:
        Lines of text.
    """
    recipe, prepared = checked.recipe, checked.prepared
    variants = _first_variants(checked)
    first = variants[0]
    steps = first.train.epochs * num_steps(first, len(prepared.train))
    rows = (
        f"{len(prepared.train)} train, {len(prepared.validation)} validation, "
        f"{len(prepared.test)} test rows"
    )
    return [_trainings_line(recipe, steps), rows, *_group_lines(checked, variants)]


def training_seconds(checked: CheckedRecipe) -> tuple[float, float] | None:
    """Estimate what one training of the first variant takes, from a few steps that are timed.

    Args:
        checked: the recipe.

    Returns:
        What it takes at least and what it takes about, in seconds; None where that is not known. At
        least: in the fastest way, on all cores, stopped as early as its patience allows. About: in
        a stack on one core of a machine with other work, stopped halfway between that and its last
        epoch, in proportion.
    """
    variant = _first_variants(checked)[0]
    try:
        timing = measure(variant, checked.prepared, seconds=SHORT)
    except WinnowError:
        raise
    except Exception:  # a model that does not stack; what is wrong with it, training will tell
        return None
    stopping, epochs = stopping_of(variant.train), variant.train.epochs
    fewest = epochs if stopping is None else max(1, min(epochs, stopping.fewest_epochs(epochs)))
    steps = num_steps(variant, len(checked.prepared.train))
    least = fewest * steps * min(timing.stacked_seconds, timing.alone_seconds) / cores()
    about = SHARED_CORE * math.sqrt(fewest * epochs) * steps * timing.stacked_seconds
    return least, about


def expected_trainings(recipe: Recipe) -> dict[str, int]:
    """Return about how many trainings each stage asks for.

    Those that check what the ablation drops are not among them.
    """
    search, ablated = recipe.search, _parts_to_ablate(recipe)
    counts = {"search": 0, "ablate": 0, "train": recipe.final.seeds}
    if recipe.is_open:
        counts["search"] = search.trials + search.leaders * search.seeds
    if ablated:
        counts["ablate"] = (1 + len(ablated)) * recipe.ablate.seeds
    return counts


def _parts_to_ablate(recipe: Recipe) -> set[str]:
    """Return the names of the parts that will be left out in turn."""
    named = recipe.parts() if recipe.ablate.parts == "all" else recipe.ablate.parts
    modules = [f"model.{module}" for module in recipe.ablate.modules]
    return {*named, *modules}


def _trainings_line(recipe: Recipe, steps: int) -> str:
    """Return how many trainings there will be, by stage."""
    counts = {stage: number for stage, number in expected_trainings(recipe).items() if number}
    by_stage = ", ".join(f"{number} to {stage}" for stage, number in counts.items())
    line = f"about {sum(counts.values())} trainings of up to {steps:,} steps: {by_stage}"
    checks = most_trainings(recipe.ablate.seeds, len(_parts_to_ablate(recipe)))
    if checks:
        line += f"; at most {checks} more to check which parts can go together"
    return line


def _first_variants(checked: CheckedRecipe) -> list[Variant]:
    """Return the variants that the first study asks for at once."""
    recipe = checked.recipe
    metric = resolve_metric(recipe.metric, checked.prepared.task)
    if recipe.is_open:
        searching = Study("search", plan_search(recipe, metric=metric, context=""))
        return searching.ask(recipe.search.batch)
    training = Study("train", plan_training(recipe, metric=metric, context=""))
    return training.ask(recipe.final.seeds)


def _group_lines(checked: CheckedRecipe, variants: Sequence[Variant]) -> list[str]:
    """Return how the first variants will train, a line for each way with the reason below it."""
    # Whether compiling pays takes a minute to find out: only a run that trains looks.
    planner = Planner(lambda _: checked.prepared, tries_compiling=False)
    stage = "search" if checked.recipe.is_open else "train"
    later = expected_trainings(checked.recipe)[stage] - len(variants)
    fleets = planner.plan(list(variants), ahead=later)
    lines: list[str] = []
    for _, alike in itertools.groupby(fleets, key=lambda fleet: (fleet.how, fleet.reason)):
        group = list(alike)
        members = sum(len(fleet.positions) for fleet in group)
        size = ""
        if group[0].how != "refused":
            parameters = planner.parameters(variants[group[0].positions[0]])
            size = f" ({parameters:,} parameters each)"
        lines.append(f"of the first {len(variants)}: {members} {_way(group)}{size}")
        lines.append(f"  because: {group[0].reason}")
    largest = max(fleets, key=lambda fleet: len(fleet.positions))
    if largest.how == "stacked" and largest.measured:
        lines += _faster_precision(variants[largest.positions[0]], checked)
    return lines


def _way(fleets: Sequence[PlannedFleet]) -> str:
    """Return how the variants of some fleets of one kind train, in words."""
    first = fleets[0]
    memory = "memory not known"
    if first.peak_bytes:
        memory = f"about {first.peak_bytes / 2**20:,.1f} MiB at the peak"
    if first.how == "stacked":
        return _stacked_way(fleets, memory)
    if first.how == "process":
        processes = "processes" if first.at_once > 1 else "process"
        return f"train one at a time in {first.at_once} worker {processes}, {memory} each"
    if first.how == "alone":
        verb = "trains" if len(fleets) == 1 else "train"
        return f"{verb} alone in this process, {memory}"
    return "cannot be built"


def _stacked_way(fleets: Sequence[PlannedFleet], memory: str) -> str:
    """Return how stacked fleets train, in words."""
    first = fleets[0]
    made = "compiled" if first.compiled else "not compiled"
    if len(fleets) == 1:
        return f"train as one program, {made}, {memory}"
    sizes = [len(fleet.positions) for fleet in fleets]
    smallest, largest = min(sizes), max(sizes)
    size = f"{smallest}" if smallest == largest else f"{smallest} to {largest}"
    return (
        f"train in {len(fleets)} fleets of {size}, {first.at_once} at once, each one "
        f"program, {made}, {memory} each"
    )


def _faster_precision(variant: Variant, checked: CheckedRecipe) -> list[str]:
    """Return a line that recommends bfloat16, where it is faster on this machine."""
    if variant.train.precision != "float32":
        return []
    train = variant.train.model_copy(update={"precision": "bfloat16"})
    low = variant.model_copy(update={"train": train})
    try:
        if probe(low, checked.prepared).reason is not None:
            return []
    except ModelError:
        return []
    now = measure(variant, checked.prepared, seconds=SHORT).stacked_seconds
    then = measure(low, checked.prepared, seconds=SHORT).stacked_seconds
    gain = now / then
    if gain < FASTER:
        return []
    return [f"bfloat16 measured {gain:.1f}x as fast: train.precision: bfloat16"]
