"""What studies do with a recipe before they ask: overrides, seeds, and what they refuse."""

from __future__ import annotations

import warnings
from typing import Any

from winnow.errors import RecipeError
from winnow.recipe import Recipe, derive_seed
from winnow.study._allowance import Allowance

__all__ = [
    "fresh_seeds",
    "require_closed",
    "warn_of_minutes",
    "with_overrides",
]


def fresh_seeds(recipe: Recipe, purpose: str, n: int) -> list[int]:
    """``n`` seeds in [0, 2**31) for one purpose; those of another purpose have nothing to do
    with them.
    """
    return [derive_seed(recipe.seed, purpose, i) for i in range(n)]


def with_overrides(recipe: Recipe, section: str, **overrides: Any) -> Recipe:
    """The recipe with settings of one section replaced; None leaves a setting as it is.

    Raises:
        RecipeError: for values that the section does not accept.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if not given:
        return recipe
    return Recipe(**{**dict(recipe), section: {**dict(getattr(recipe, section)), **given}})


def require_closed(recipe: Recipe, study: str) -> None:
    """Refuse a recipe with open settings.

    Raises:
        RecipeError: naming the settings that are open, and what to do.
    """
    paths = list(recipe.ranges())
    if paths:
        raise RecipeError(
            f"{study} needs a recipe with nothing open, found {len(paths)} open "
            f"setting{'s' * (len(paths) > 1)} "
            f"({', '.join(paths)}): search first and give it `found.best`, or give them values "
            f"with `recipe.resolve`"
        )


def warn_of_minutes(recipe: Recipe, allowance: Allowance | None) -> None:
    """Say that nobody keeps the minutes of a recipe where a study is asked for by itself."""
    if recipe.minutes is not None and allowance is None:
        warnings.warn(
            f"`minutes` = {recipe.minutes:g} is kept by winnow.run and winnow.Flow, which divide "
            f"it among the stages; "
            "a study that is called by itself does all that it is asked for",
            stacklevel=3,
        )
