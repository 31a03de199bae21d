"""From the minutes in a recipe to a budget for the stages that they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from winnow.ledger import Ledger
from winnow.pipeline._budget import Budget
from winnow.pipeline._check import CheckedRecipe
from winnow.pipeline._plan import training_seconds
from winnow.recipe import Recipe

__all__ = ["GOALS", "budget_for"]

# What can be asked for at last, and the stages that train for it.
GOALS = {
    "found": ("search",),
    "ablation": ("search", "ablate"),
    "trained": ("search", "ablate", "train"),
    "evaluation": ("search", "ablate", "train"),
    "bundle": ("search", "ablate", "train"),
}


def budget_for(
    checked: CheckedRecipe,
    *,
    goal: str,
    ablate: bool,
    ledger: Ledger,
    spent: float,
    began: float,
) -> Budget | None:
    """Return what the minutes of a recipe allow; None where it names none.

    A run that has come to its end is only read, whatever it took.

    Args:
        checked: the recipe.
        goal: what is asked for at last, one of ``GOALS``.
        ablate: whether there is to be an ablation.
        ledger: of the run directory.
        spent: seconds that earlier processes took.
        began: reading of ``time.perf_counter`` from which the minutes count.

    Raises:
        OutOfTime: the minutes do not hold the least that is asked for.
    """
    recipe = checked.recipe
    if recipe.minutes is None:
        return None
    stages = _training_stages(recipe, goal, ablate)
    budget = Budget(
        recipe.minutes,
        ledger=ledger,
        known=ledger.outcomes,
        stages=stages,
        goal=goal,
        question=_question(recipe, ablate),
        spent=spent,
        began=began,
    )
    if budget.has_begun:
        budget.require(0.0)
        return budget
    timing = training_seconds(checked)
    if timing is None:
        budget.require(0.0)
    else:
        least, about = timing
        budget.require(_fewest_trainings(recipe, stages) * least, about)
    return budget


def _training_stages(recipe: Recipe, goal: str, ablate: bool) -> list[str]:
    """Return the stages up to a goal that will train anything."""
    is_idle = {"search": not recipe.is_open, "ablate": not ablate}
    return [stage for stage in GOALS[goal] if not is_idle.get(stage, False)]


def _fewest_trainings(recipe: Recipe, stages: Sequence[str]) -> int:
    """Return how many trainings some stages ask for at least; an ablation can be left out."""
    # In the search two trials and two trainings of leaders, in the final training two seeds
    fewest = {"search": min(2, recipe.search.trials) + 2, "train": 2}
    return sum(fewest.get(stage, 0) for stage in stages)


def _question(recipe: Recipe, ablate: bool) -> str:
    """Name all that is asked, so that decisions are repeated for the same question only."""
    text = f"{recipe.to_yaml()}{ablate}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]
