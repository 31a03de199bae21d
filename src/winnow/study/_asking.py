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
    """Return ``n`` seeds in [0, 2**31) for one purpose.

    Those of another purpose have nothing to do with them, so that what one study chose by its luck
    does not help the next.
    """
    return [derive_seed(recipe.seed, purpose, i) for i in range(n)]


def with_overrides(recipe: Recipe, section: str, **overrides: Any) -> Recipe:
    """Return the recipe with settings of one section replaced.

    Args:
        recipe: stays as it is.
        section: of the recipe, such as ``search``.
        overrides: by the name of the setting; None leaves it as it is.

    Raises:
        RecipeError: for values that the section does not accept.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    if not given:
        return recipe
    replaced = {**dict(getattr(recipe, section)), **given}
    # Not ``model_copy``, which takes any value: these come from a caller and must be checked
    return Recipe(**{**dict(recipe), section: replaced})


def require_closed(recipe: Recipe, study: str) -> None:
    """Refuse a recipe with open settings.

    Raises:
        RecipeError: naming the settings that are open, and what to do.
    """
    paths = list(recipe.ranges())
    if paths:
        settings = "setting" if len(paths) == 1 else "settings"
        raise RecipeError(
            f"{study} needs a recipe with nothing open, found {len(paths)} open {settings} "
            f"({', '.join(paths)}): search first and give it `found.best`, or give them values "
            f"with `recipe.resolve`"
        )


def warn_of_minutes(recipe: Recipe, allowance: Allowance | None) -> None:
    """Warn that nobody keeps the minutes of a recipe where a study is asked for by itself."""
    if recipe.minutes is not None and allowance is None:
        warnings.warn(
            f"`minutes` = {recipe.minutes:g} is kept by winnow.run and winnow.Flow, which divide "
            f"it among the stages; a study that is called by itself does all that it is asked for",
            stacklevel=3,  # the line that called the study
        )
