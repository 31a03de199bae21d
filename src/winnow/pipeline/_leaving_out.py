"""What there is to leave out in an ablation, and the ablation within the minutes of a run."""

from __future__ import annotations

from collections.abc import Sequence

from winnow.errors import OutOfTime, RecipeError
from winnow.pipeline._budget import StageOver
from winnow.pipeline._timed_runner import TimedRunner
from winnow.recipe import Recipe
from winnow.study import Ablation, ablate

__all__ = ["ablate_in_time", "can_lose_a_part"]


def can_lose_a_part(recipe: Recipe) -> bool:
    """Tell whether anything that a recipe wants to ablate, modules aside, is on."""
    wanted = recipe.ablate.parts
    if wanted == "all":
        return bool(recipe.parts())
    return any(_can_lose(recipe, name) for name in wanted)


def _can_lose(recipe: Recipe, name: str) -> bool:
    try:
        recipe.without(name)
    except RecipeError:
        return False
    return True


def ablate_in_time(recipe: Recipe, modules: Sequence[str], runner: TimedRunner) -> Ablation | None:
    """Ablate a recipe; what does not end in time is done over without it.

    Args:
        recipe: with nothing open.
        modules: names of the modules to switch off in turn.
        runner: trains; its budget decides how many seeds there is time for.

    Returns:
        The ablation; None where the minutes do not hold one.
    """
    while True:
        try:
            return ablate(recipe, modules=list(modules), runner=runner, allowance=runner.budget)
        except OutOfTime:
            return None
        except StageOver:
            # Trainings that were finished are on record, so the smaller ablation repeats none.
            assert runner.budget is not None
            runner.budget.overrule()
