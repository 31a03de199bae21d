"""How much a recipe will train, and in what groups."""

from __future__ import annotations

from collections.abc import Hashable

from winnow.flow._check import Checked
from winnow.recipe import Recipe, Variant, resolve_metric
from winnow.run import Planner
from winnow.study import Study, plan_search, plan_training
from winnow.train import num_steps, probe

__all__ = ["describe_plan", "expected_trainings"]


def describe_plan(checked: Checked) -> list[str]:
    """What will be trained: how many times in each stage, and which of the first variants can be stacked. Trains nothing.

    What pays is measured only when it runs; here is what is possible.
    """
    recipe = checked.recipe
    counts = {stage: n for stage, n in expected_trainings(recipe).items() if n}
    variants = _first_variants(checked)
    steps = variants[0].train.epochs * num_steps(variants[0], len(checked.prepared.train))
    total = sum(counts.values())
    return [
        f"about {total} trainings of up to {steps:,} steps: " + ", ".join(f"{n} to {stage}" for stage, n in counts.items()),
        ", ".join(f"{len(getattr(checked.prepared, part))} {part}" for part in ("train", "validation", "test")) + " rows",
        *_groups(checked, variants),
    ]


def expected_trainings(recipe: Recipe) -> dict[str, int]:
    """About how many trainings each stage asks for; more when parts are dropped and that is checked."""
    ask, parts = recipe.search, recipe.parts()
    names = set(parts if recipe.ablate.parts == "all" else recipe.ablate.parts) | {f"model.{m}" for m in recipe.ablate.modules}
    return {
        "search": ask.trials + ask.leaders * ask.seeds if recipe.is_open else 0,
        "ablate": (1 + len(names)) * recipe.ablate.seeds if names else 0,
        "train": recipe.final.seeds,
    }


def _first_variants(checked: Checked) -> list[Variant]:
    """The variants that the first study asks for at once."""
    recipe, prepared = checked.recipe, checked.prepared
    metric = resolve_metric(recipe.metric, prepared.task)
    if recipe.is_open:
        return Study("search", plan_search(recipe, metric=metric, context="")).ask(recipe.search.batch)
    return Study("train", plan_training(recipe, metric=metric, context="")).ask(recipe.final.seeds)


def _groups(checked: Checked, variants: list[Variant]) -> list[str]:
    planner = Planner(lambda _: checked.prepared)
    groups: dict[Hashable, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(planner.key(variant), []).append(variant)
    return [f"of the first {len(variants)}: {_group(members, checked)}" for members in groups.values()]


def _group(members: list[Variant], checked: Checked) -> str:
    found = probe(members[0], checked.prepared)
    size = f"{found.parameters:,} parameters each"
    if found.reason is not None:
        return f"{len(members)} train one at a time, because they cannot be stacked: {found.reason} ({size})"
    if len(members) == 1:
        return f"1 trains alone, because no other has its shapes ({size})"
    return f"{len(members)} have equal shapes and can train as one program ({size})"
